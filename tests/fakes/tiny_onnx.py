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


def tiny_ranker() -> bytes:
    """A cross-encoder: its logit is the sum over tokens of (a number of the token + 0.1 if it is the document's)²."""
    weights = [0.0, *((token * 7) % 5 / 4 - 0.5 for token in range(1, len(WORDS)))]

    def table(name: str, *numbers: float) -> bytes:
        data = struct.pack(f"<{len(numbers)}f", *numbers)
        return message(5, number(1, len(numbers)), number(1, 1), number(2, FLOAT), message(8, name), message(9, data))

    def node(kind: str, inputs: tuple[str, ...], output: str, *attributes: bytes) -> bytes:
        return message(1, *(message(1, name) for name in inputs), message(2, output), message(4, kind), *attributes)

    axes = message(5, message(1, "axes"), number(8, 1), number(20, 7))
    flat = message(5, message(1, "keepdims"), number(3, 0), number(20, 2))
    graph = message(
        7,
        node("Gather", ("words", "input_ids"), "a"),
        node("Gather", ("parts", "token_type_ids"), "b"),
        node("Add", ("a", "b"), "c"),
        node("ReduceSumSquare", ("c",), "logits", axes, flat),
        message(2, "ranker"),
        table("words", *weights),
        table("parts", 0.0, 0.1),
        *(value(11, name, INT64, "batch", "sequence") for name in ("input_ids", "attention_mask", "token_type_ids")),
        value(12, "logits", FLOAT, "batch", 1),
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
                "pair": [
                    {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}},
                    {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
                    {"Sequence": {"id": "B", "type_id": 1}},
                    {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
                ],
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
