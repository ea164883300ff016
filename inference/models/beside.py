"""Files that a model needs beside its weights: where they lie, and what they must be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.models.catalogue import Beside
from mongarsd.inference.models.names import BESIDE
from mongarsd.inference.models.onnx_weights import DataFile, role

TOKENIZER = "tokenizer"
MAX_TOKENIZER = 64 << 20  # bytes; vocabularies of 250,000 words have 17 MB
MAX_OTHER = 4 << 20  # bytes; a tokenizer_config.json may list a thousand tokens


class _Tokenizer(Struct):
    model: dict[str, msgspec.Raw]


class _Config(Struct):
    max_position_embeddings: Annotated[int, Meta(ge=1, le=1 << 24)] | None = None


def beside(ref: str) -> tuple[Beside, ...]:
    """What comes with a model that the catalogue does not know: an ONNX model has its tokenizer beside it.

    The hub's exports keep it at the top of the repository, the model itself in a folder.
    """
    if not ref.lower().endswith(".onnx"):
        return ()
    prefix, _, path = ref.partition(":")
    folder = "/".join(path.split("/")[:2]) if prefix == "hf" else path.rpartition("/")[0]
    if prefix == "file" and not Path(folder, BESIDE[TOKENIZER]).exists() and Path(folder).name == "onnx":
        folder = str(Path(folder).parent)  # a copy of a repository
    return tuple(
        Beside(role=role, ref=f"{prefix}:{folder}/{name}", chat=role != TOKENIZER) for role, name in BESIDE.items()
    )


def weights(ref: str, files: Sequence[DataFile]) -> tuple[Beside, ...]:
    """Where the other files with weights of a model lie: in its own folder."""
    folder = ref.rpartition("/")[0]
    return tuple(
        Beside(role=role(index), ref=f"{folder}/{file.name}", size=file.size) for index, file in enumerate(files)
    )


def check(role: str, path: Path) -> None:
    """Raises InvalidModel unless it is what the role says."""
    if role == TOKENIZER:
        check_tokenizer(path)
        return
    size = path.stat().st_size
    if size > MAX_OTHER:
        raise InvalidModel(f"The {BESIDE[role]} of the model has {size} bytes; at most {MAX_OTHER} are allowed.")
    try:
        if role == "template":
            path.read_text(encoding="utf-8")
        else:
            msgspec.json.decode(path.read_bytes(), type=_Config)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidModel(f"The {BESIDE[role]} of the model is damaged: {error}.") from error


def context_of(config: Path) -> int:
    """Tokens the model was trained for, by a checked config.json; 0 = it does not say."""
    return msgspec.json.decode(config.read_bytes(), type=_Config).max_position_embeddings or 0


def check_tokenizer(path: Path) -> None:
    """Raises InvalidModel unless it is a tokenizer.json of Hugging Face's library."""
    size = path.stat().st_size
    if size > MAX_TOKENIZER:
        raise InvalidModel(f"The tokenizer.json of the model has {size} bytes; at most {MAX_TOKENIZER} are allowed.")
    try:
        msgspec.json.decode(path.read_bytes(), type=_Tokenizer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidModel(f"The tokenizer.json of the model is damaged or of another kind: {error}.") from error
