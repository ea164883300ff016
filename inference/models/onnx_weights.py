"""The weights of an ONNX model: how many there are, and which of them lie in other files. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from math import prod
from typing import NamedTuple

from msgspec import Struct

from mongarsd.ground.errors import InvalidModel

#: TensorProto.DataType -> the name in lists
TYPES = {1: "F32", 2: "INT8", 3: "INT8", 10: "F16", 16: "BF16", 21: "INT4", 22: "INT4"}
#: TensorProto.DataType -> bits an element
BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16, 21: 4, 22: 4}
FLOAT, UINT8 = 1, 2
#: How the hub's exporters name the files of weights: model.onnx_data, model.onnx_data_1, model.onnx.data.
DATA = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,150}\.onnx[._]data(_[0-9]{1,3})?")
MAX_DATA = 64  # files; real models have up to about 20
MAX_BYTES = 1 << 36  # of one file
DIGITS = re.compile(r"[0-9]{1,12}")


class DataFile(Struct, frozen=True):
    """A file of weights beside the model."""

    name: str
    size: int  # bytes that it must have at least


class Tensor(NamedTuple):
    kind: int
    dims: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.dims)


class Quantized(NamedTuple):
    """A node that reads packed weights."""

    inputs: tuple[str, ...]
    kind: str
    numbers: Mapping[str, int]  # its attributes


def role(index: int) -> str:
    """Under which the store keeps the model's DataFile of this index."""
    return f"data{index}"


def place(tensor: Tensor, entries: Mapping[str, str]) -> DataFile:
    """Where a tensor's numbers end in their file. Raises InvalidModel unless it is a plain file beside the model."""
    name = entries.get("location", "")
    if not DATA.fullmatch(name):
        shown = "".join(c for c in name[:80] if c.isprintable())
        raise InvalidModel(
            f"The ONNX model keeps weights in {shown!r}: only files beside it with names like model.onnx_data are read."
        )
    begin, said = (entries.get(key, "0") for key in ("offset", "length"))
    if not (DIGITS.fullmatch(begin) and DIGITS.fullmatch(said)):
        raise InvalidModel(f"The ONNX model does not say properly where in {name} its weights are.")
    needed = (tensor.size * BITS.get(tensor.kind, 0) + 7) // 8
    length = int(said) or needed
    if (needed and length != needed) or int(begin) + length > MAX_BYTES:
        raise InvalidModel(f"The ONNX model claims {length} bytes of {name} for a tensor of {needed}.")
    return DataFile(name, int(begin) + length)


def files(places: Iterable[DataFile]) -> tuple[DataFile, ...]:
    """Each file once, by name. Raises InvalidModel."""
    ends: dict[str, int] = {}
    for each in places:
        ends[each.name] = max(each.size, ends.get(each.name, 0))
    if len(ends) > MAX_DATA:
        raise InvalidModel(f"The ONNX model keeps its weights in {len(ends)} files; at most {MAX_DATA} are allowed.")
    return tuple(DataFile(name, ends[name]) for name in sorted(ends))


def sealed(digests: Iterable[str]) -> bytes:
    """What is appended to a stored model, so that its own digest covers the files of its weights.

    Two models may share a graph and differ in nothing but those. It is the field `metadata_props` of ModelProto (14, a
    StringStringEntryProto), and protobuf lets fields of a message follow in any order.
    """
    return b"".join(
        _message(14, _message(1, f"mongarsd.{role(index)}".encode()) + _message(2, digest.encode()))
        for index, digest in enumerate(digests)
    )


def _message(field: int, content: bytes) -> bytes:
    assert len(content) < 128  # a varint of one byte
    return bytes([field << 3 | 2, len(content)]) + content


def count(tensors: Mapping[str, Tensor], others: Iterable[Tensor], nodes: Iterable[Quantized]) -> tuple[int, str]:
    """Weights, and the type of most of them. Packed ones count as what they stand for, their scales as nothing."""
    sizes = {name: (TYPES.get(tensor.kind, f"type {tensor.kind}"), tensor.size) for name, tensor in tensors.items()}
    for node in nodes:
        bits = node.numbers.get("bits", 4)
        at = 1 if node.kind == "MatMulNBits" else 0
        table = tensors.get(node.inputs[at]) if len(node.inputs) > at else None
        if table is None or not 1 <= bits <= 8:
            continue
        unpacked = table.size * 8 // bits if table.kind == UINT8 else table.size
        # the last block of a row may be padded
        real = node.numbers.get("K", 0) * node.numbers.get("N", 0)
        sizes[node.inputs[at]] = (f"INT{bits}", real if 0 < real <= unpacked else unpacked)
        for name in node.inputs[2:4]:  # scales and zero points, of both
            if name in sizes and name != node.inputs[at]:
                sizes[name] = (sizes[name][0], 0)
    kinds: Counter[str] = Counter()
    for kind, size in (*sizes.values(), *((TYPES.get(t.kind, f"type {t.kind}"), t.size) for t in others)):
        kinds[kind] += size
    total = kinds.total()
    return total, kinds.most_common(1)[0][0] if total else TYPES[FLOAT]
