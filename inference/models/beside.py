"""Files that a model needs beside its weights: where they lie, and what they must be."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.models.catalogue import Beside

TOKENIZER = "tokenizer"
MAX_TOKENIZER = 64 << 20  # bytes; vocabularies of 250,000 words have 17 MB


class _Tokenizer(Struct):
    model: dict[str, msgspec.Raw]


def beside(ref: str) -> tuple[Beside, ...]:
    """What comes with a model that the catalogue does not know: an ONNX model has its tokenizer beside it.

    The hub's exports keep it at the top of the repository, the model itself in a folder.
    """
    if not ref.lower().endswith(".onnx"):
        return ()
    prefix, _, path = ref.partition(":")
    folder = "/".join(path.split("/")[:2]) if prefix == "hf" else path.rpartition("/")[0]
    return (Beside(role=TOKENIZER, ref=f"{prefix}:{folder}/tokenizer.json"),)


def check_tokenizer(path: Path) -> None:
    """Raises InvalidModel unless it is a tokenizer.json of Hugging Face's library."""
    size = path.stat().st_size
    if size > MAX_TOKENIZER:
        raise InvalidModel(f"The tokenizer.json of the model has {size} bytes; at most {MAX_TOKENIZER} are allowed.")
    try:
        msgspec.json.decode(path.read_bytes(), type=_Tokenizer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidModel(f"The tokenizer.json of the model is damaged or of another kind: {error}.") from error
