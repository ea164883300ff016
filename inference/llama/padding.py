"""LoRA adapters in a form in which a token gives the same bits beside others as alone: their rank is made odd.

For two rows and more ggml multiplies F32, F16 and BF16 matrices with llamafile's kernels, which round otherwise than
the dot products a single row takes. They decline a matrix with a dimension that is no multiple of 4 (`matmul` of
ggml-cpu/llamafile/sgemm.cpp), and both matrices of an adapter have its rank as a dimension. So a rank of zeros is added
to a rank of 4, 8, 16 …, and the scale, which llama.cpp divides by the rank, is raised alike. Measured with
SmolLM2-135M Q4_0 and ranks 4, 16 and 64: the logits of 1 row and of 2 to 8 are equal bit for bit, which without it they
never are at ranks 16 and 64. Its prompts take 1.1 to 1.6 times as long; the larger the model, the smaller the part of
an adapter in that.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.models.container import F32, MAGIC, STRING, U32, U64, Container, Tensor, open_container
from mongarsd.inference.models.ggml import TENSOR_TYPES
from mongarsd.inference.models.lora import ALPHA, EMBEDDING, A, B

#: Types whose kernels decline; those for Q8_0 take every rank.
DECLINED = frozenset({"F32", "F16", "BF16"})
MULTIPLE = 4
ALIGNMENT = 32
KEYS = ("general.type", "general.architecture", "adapter.type")
NUMBERS = {kind.name: number for number, kind in TENSOR_TYPES.items()}


class Adapter(NamedTuple):
    """What llama.cpp is to load, with which scale, and whether the number of rows then matters to no bit."""

    path: str
    scale: float = 1.0
    even: bool = False
    file: int = -1  # to be closed when it is loaded


def prepare(path: Path) -> Adapter:
    """A padded copy in memory where that is needed and possible, else the file itself; llama.cpp judges damaged ones.

    Mixed ranks are left alone: one scale is all that llama.cpp takes.
    """
    plain = Adapter(str(path))
    try:
        header = open_container(path)
    except InvalidModel:
        return plain
    ranks = {tensor.shape[0] for tensor in header.tensors if tensor.name.endswith(B)}
    if not ranks or any(tensor.type.name not in DECLINED for tensor in header.tensors):
        return plain
    if all(rank % MULTIPLE for rank in ranks):
        return plain._replace(even=True)
    if len(ranks) > 1 or not hasattr(os, "memfd_create"):
        return plain
    (rank,) = ranks
    file = os.memfd_create("adapter")
    try:
        with path.open("rb") as source, os.fdopen(file, "wb", closefd=False) as target:
            write(header, source, target)
    except BaseException:
        os.close(file)
        raise
    scale = (rank + 1) / rank if header.values.get(ALPHA) else 1.0  # an alpha of 0: it is not divided
    return Adapter(f"/proc/self/fd/{file}", scale, True, file)


def write(header: Container, source: BinaryIO, target: BinaryIO) -> None:
    """The same adapter with one rank more, of zeros, and with what llama.cpp reads of its keys."""
    keys = [_string(key) + U32.pack(STRING) + _string(str(header.values.get(key, ""))) for key in KEYS]
    keys.append(_string(ALPHA) + U32.pack(F32) + struct.pack("<f", header.values.get(ALPHA, 0.0)))
    infos, offset = [], 0
    for tensor in header.tensors:
        axis = _axis(tensor)
        shape = [size + (n == axis) for n, size in enumerate(tensor.shape)]
        dims = U32.pack(len(shape)) + b"".join(map(U64.pack, shape))
        infos.append(_string(tensor.name) + dims + U32.pack(NUMBERS[tensor.type.name]) + U64.pack(offset))
        offset += _aligned(tensor.size // tensor.shape[axis] * shape[axis])
    counts = U64.pack(len(header.tensors)) + U64.pack(len(keys))
    top = b"".join([MAGIC, U32.pack(3), counts, *keys, *infos])
    target.write(top.ljust(_aligned(len(top)), b"\0"))
    for tensor in header.tensors:
        source.seek(header.data_offset + tensor.offset)
        data = _widened(source.read(tensor.size), tensor)
        target.write(data.ljust(_aligned(len(data)), b"\0"))


def _axis(tensor: Tensor) -> int:
    """The dimension that is the rank."""
    return 1 if tensor.name.endswith(A) and tensor.name != EMBEDDING + A else 0


def _widened(data: bytes, tensor: Tensor) -> bytes:
    if _axis(tensor):
        matrix = tensor.shape[0] * tensor.shape[1] * tensor.type.size  # bytes; of each expert
        zeros = bytes(tensor.shape[0] * tensor.type.size)
        return b"".join(data[begin : begin + matrix] + zeros for begin in range(0, len(data), matrix))
    row = tensor.shape[0] * tensor.type.size
    wide = row + tensor.type.size
    result = bytearray(len(data) // row * wide)
    for column in range(row):
        result[column::wide] = data[column::row]
    return bytes(result)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _string(text: str) -> bytes:
    data = text.encode()
    return U64.pack(len(data)) + data
