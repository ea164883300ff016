"""The other files of a model's weights, under the names that the model uses for them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.models.names import OPEN
from mongarsd.inference.models.onnx_weights import DataFile, role


@contextmanager
def together(path: str, data: Sequence[DataFile], files: Mapping[str, str]) -> Iterator[str]:
    """The path at which onnxruntime finds the model and, beside it, `data`; `files` says where they really are.

    The store names files by their digests, so they are linked into a folder that goes again when the model is open:
    onnxruntime maps them, and keeps them without their names. Links of the file, not symbolic ones, which onnxruntime
    follows only inside the folder. Raises InvalidModel.
    """
    if not data:
        yield path
        return
    folder = Path(path + OPEN)
    shutil.rmtree(folder, ignore_errors=True)  # of a worker that was killed
    try:
        folder.mkdir(mode=0o700)
        os.link(path, folder / "model.onnx")
        for index, file in enumerate(data):
            where = files.get(role(index))
            size = Path(where).stat().st_size if where else 0
            if where is None or size < file.size:
                raise InvalidModel(f"{file.name} of the model has {size} of {file.size} bytes: pull the model again.")
            os.link(where, folder / file.name)
        yield str(folder / "model.onnx")
    except OSError as error:
        raise InvalidModel(f"The files of the model cannot be opened together: {error.strerror}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
