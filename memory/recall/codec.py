"""A vector in the file and in RAM: int8 numbers with a scale, and their signs. Pure; numpy is imported when used."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SCALE = struct.Struct("<f")
HEADER = _SCALE.size  # bytes before the numbers


class Coded(NamedTuple):
    """Of 384 dimensions: 48 bytes and 388 bytes."""

    bits: bytes  # a bit a dimension, set where the number is positive; filled up with zeros to whole 64-bit words
    numbers: bytes  # little-endian float32 scale, then an int8 a dimension: value = scale * int8


def encode(vector: bytes) -> Coded:
    """`vector`: little-endian float32."""
    import numpy as np

    values = np.frombuffer(vector, "<f4")
    scale = float(np.abs(values).max(initial=0.0)) / 127 or 1.0
    whole = np.rint(values / scale).astype(np.int8)
    # From the int8, not from the float: so the bits can always be made again from what is in the file.
    bits = np.packbits(whole > 0, bitorder="little").tobytes()
    return Coded(bits + bytes(-len(bits) % 8), _SCALE.pack(scale) + whole.tobytes())


def similarities(vector: bytes, numbers: Sequence[bytes]) -> NDArray[np.float32]:
    """The cosine of `vector` (float32, of length 1) with each of `numbers` (of vectors of length 1)."""
    import numpy as np

    query = np.frombuffer(vector, "<f4")
    if not numbers:
        return np.empty(0, np.float32)
    table = np.frombuffer(b"".join(numbers), np.uint8).reshape(len(numbers), -1)
    scales = table[:, :HEADER].copy().view("<f4")[:, 0]
    found: NDArray[np.float32] = (table[:, HEADER:].view(np.int8) @ query) * scales
    return found
