"""Small GGUF files, made byte by byte so that tests can make them wrong."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

U8, U32, I32, F32, BOOL, STRING, ARRAY, U64, F64 = 0, 4, 5, 6, 7, 8, 9, 10, 12
FORMATS = {U8: "<B", U32: "<I", I32: "<i", F32: "<f", BOOL: "<?", U64: "<Q", F64: "<d"}


class Weights(NamedTuple):
    name: str
    shape: tuple[int, ...] = (32, 4)
    type: int = 2  # Q4_0
    offset: int | None = None  # None = right after the one before


Q4_0_BYTES = 18 * 4  # of the default shape


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def value_of(kind: int, value: Any) -> bytes:
    if kind == STRING:
        return text(value)
    if kind == ARRAY:
        item, items = value
        return struct.pack("<IQ", item, len(items)) + b"".join(value_of(item, each) for each in items)
    return struct.pack(FORMATS[kind], value)


def llama_values(**more: tuple[int, Any]) -> dict[str, tuple[int, Any]]:
    """The keys of a tiny llama; `more` replaces or adds, with `__` for a dot."""
    values = {
        "general.architecture": (STRING, "llama"),
        "general.name": (STRING, "Tiny"),
        "general.license": (STRING, "mit"),
        "general.file_type": (U32, 2),
        "llama.block_count": (U32, 2),
        "llama.context_length": (U32, 128),
        "llama.embedding_length": (U32, 64),
        "llama.attention.head_count": (U32, 4),
        "llama.attention.head_count_kv": (U32, 2),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, ["<s>", "</s>", "a", "é"])),
        "tokenizer.ggml.scores": (ARRAY, (F32, [0.0, 1.0, 2.0, 3.0])),
        "tokenizer.ggml.bos_token_id": (U32, 0),
        "tokenizer.ggml.eos_token_id": (U32, 1),
        "tokenizer.chat_template": (STRING, "{{ messages }}"),
    }
    return {**values, **{key.replace("__", "."): value for key, value in more.items()}}


TINY = (Weights("token_embd.weight"), Weights("output.weight"))


def build_gguf(
    values: dict[str, tuple[int, Any]] | Sequence[tuple[str, tuple[int, Any]]] | None = None,
    tensors: Sequence[Weights] = TINY,
    *,
    version: int = 3,
    alignment: int = 32,
    data: int | None = None,
) -> bytes:
    """A whole file; `data` is the length of the data section (None = enough for Q4_0 tensors of the default shape)."""
    pairs = list(llama_values().items() if values is None else values.items() if isinstance(values, dict) else values)
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    for key, (kind, value) in pairs:
        out += text(key) + struct.pack("<I", kind) + value_of(kind, value)
    step = -(-Q4_0_BYTES // alignment) * alignment
    for number, tensor in enumerate(tensors):
        offset = number * step if tensor.offset is None else tensor.offset
        out += text(tensor.name) + struct.pack("<I", len(tensor.shape))
        out += b"".join(struct.pack("<Q", size) for size in tensor.shape)
        out += struct.pack("<IQ", tensor.type, offset)
    out += bytes(-len(out) % alignment)
    return out + bytes(step * len(tensors) if data is None else data)
