"""`file:PATH`: a GGUF or ONNX file on this machine, or a folder with one, copied into the store."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mongarsd.ground.errors import BadRequest, InvalidModel, NotFound, SourceUnavailable
from mongarsd.inference.models.formats import inspect
from mongarsd.inference.models.names import BESIDE
from mongarsd.inference.models.onnx_weights import DATA
from mongarsd.inference.models.sources.base import Offer, Sink
from mongarsd.inference.models.threads import PIECE, in_thread

#: Of model files.
SUFFIXES = (".gguf", ".onnx")


class FileSource:
    immutable = False
    remote = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ref = f"file:{path}"
        self.file = path.name

    @classmethod
    def parse(cls, rest: str) -> FileSource:
        path = Path(rest)
        if not path.is_absolute() or not rest.isprintable() or ".." in path.parts:
            raise BadRequest(f"'file:' needs an absolute path without '..', not {rest[:200]!r}.", param="ref")
        return _inside(cls, path) if os.path.isdir(path) else cls(path)  # noqa: PTH112 (no error for what may not be read)

    async def offer(self) -> Offer:
        def look() -> Offer:
            file, facts = self._open()
            os.close(file)
            if self.path.name not in BESIDE.values() and not DATA.fullmatch(self.path.name):
                inspect(self.path)  # before gigabytes are copied for nothing
            return Offer(identity=f"{self.ref} {facts.st_size} {facts.st_mtime_ns}", size=facts.st_size)

        return await in_thread(look)

    async def fetch(self, offer: Offer, sink: Sink) -> None:  # noqa: ARG002 (the contract)
        file, facts = self._open()  # not in a thread: a cancellation would lose the descriptor
        try:
            await sink.begin(facts.st_size)
            await sink.restart()
            left = facts.st_size
            while left and (data := await in_thread(os.read, file, min(left, PIECE))):
                left -= len(data)
                await sink.write(data)
            if left:
                raise SourceUnavailable(f"{self.path} became shorter while it was copied.")
        finally:
            os.close(file)

    def _open(self) -> tuple[int, os.stat_result]:
        """Open without waiting (a pipe would), and refuse what is not a regular file, or is named by a model only."""
        if DATA.fullmatch(self.path.name) and not self.path.resolve().is_relative_to(self.path.parent.resolve()):
            raise InvalidModel(f"{self.path} is a link that leads out of its folder: put the file itself there.")
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise NotFound(f"There is no file {self.path}.", param="ref") from None
        except OSError as error:
            raise SourceUnavailable(
                f"{self.path} cannot be opened by the daemon's user: {error.strerror}. Check its permissions."
            ) from error
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode):
            os.close(file)
            raise InvalidModel(f"{self.path} is not a regular file.", param="ref")
        return file, facts


def _inside(make: type[FileSource], folder: Path) -> FileSource:
    """The model of a folder: its model.onnx, or its only model, here or in `onnx/`. It bears the folder's name."""
    found = sorted(path for part in (folder, folder / "onnx") for path in part.glob("*") if path.suffix in SUFFIXES)
    chosen = [path for path in found if path.name == "model.onnx"][:1] or found
    if not found:
        return make(folder)
    if len(chosen) != 1:
        names = ", ".join(path.name for path in found[:8])
        raise BadRequest(f"{folder} has {len(found)} models ({names}): name the file.", param="ref")
    source = make(chosen[0])
    source.file = f"{folder.name}{chosen[0].suffix}"
    return source
