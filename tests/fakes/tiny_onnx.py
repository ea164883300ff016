"""The smallest ONNX embedding model, written as raw protobuf: each token's vector is a row of a table."""

from __future__ import annotations

import json
import struct
from pathlib import Path

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "blue", "one", "two", "three")
WIDTH = 4
FLOAT, INT64 = 1, 7


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, *parts: bytes | str) -> bytes:
    body = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def value(field: int, name: str, kind: int, *shape: str | int) -> bytes:
    dims = [message(1, message(2, dim) if isinstance(dim, str) else number(1, dim)) for dim in shape]
    return message(field, message(1, name), message(2, message(1, number(1, kind), message(2, *dims))))


def row(token: int) -> tuple[float, ...]:
    return tuple(float((token * 7 + column * 3) % 11 - 5 + token / 10) for column in range(WIDTH))


def tiny_onnx(
    *,
    inputs: tuple[str, ...] = ("input_ids", "attention_mask"),
    kind: int = INT64,
    output: str = "last_hidden_state",
    width: int = WIDTH,
    tensor: bytes = b"",
    rows: int = len(WORDS),
) -> bytes:
    """`tensor` is appended to the fields of the table; `width` is what the output claims."""
    numbers = struct.pack(f"<{rows * WIDTH}f", *(x for token in range(rows) for x in row(token)))
    table = message(
        5, number(1, rows), number(1, WIDTH), number(2, FLOAT), message(8, "table"), message(9, numbers), tensor
    )
    graph = message(
        7,
        message(1, message(1, "table"), message(1, "input_ids"), message(2, output), message(4, "Gather")),
        message(2, "tiny"),
        table,
        *(value(11, name, kind, "batch", "sequence") for name in inputs),
        value(12, output, FLOAT, "batch", "sequence", width),
    )
    return number(1, 8) + graph + message(8, number(2, 17))


def tokenizer() -> bytes:
    special = {"[CLS]": 2, "[SEP]": 3}
    return json.dumps(
        {
            "version": "1.0",
            "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
            "padding": None,
            "added_tokens": [],
            "normalizer": {"type": "Lowercase"},
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [
                    {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}},
                    {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
                ],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {
                    name: {"id": name, "ids": [token], "tokens": [name]} for name, token in special.items()
                },
            },
            "decoder": None,
            "model": {
                "type": "WordLevel",
                "vocab": {word: token for token, word in enumerate(WORDS)},
                "unk_token": "[UNK]",
            },
        }
    ).encode()


def write_model(folder: Path, model: bytes | None = None) -> Path:
    """The model's path; its tokenizer lies beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_bytes(tokenizer())
    path = folder / "tiny.onnx"
    path.write_bytes(tiny_onnx() if model is None else model)
    return path
