"""The GGUF container, versions 2 and 3: keys, values and where each tensor lies. Format: ggml/include/gguf.h.

A file is hostile until proven otherwise. Every count, length, dimension, offset and size is checked against the file's
length and the limits below before anything is allocated, and nothing is read but the header. Only bounded reads are
used: a file that somebody truncates meanwhile gives an error, where mmap would give SIGBUS. Raises InvalidModel only.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.models.ggml import TENSOR_TYPES, TensorType
from mongarsd.inference.models.infill import NAMES

Value = int | float | bool | str | list[int]

INT64_MAX = 2**63 - 1
MAX_KEYS = 1 << 14  # real files: 20 to 60
MAX_TENSORS = 1 << 16  # real files: up to about 2,000
MAX_DIMS = 4  # GGML_MAX_DIMS
MAX_KEY = 1 << 10  # bytes; real keys: under 100
MAX_TENSOR_NAME = 63  # bytes, GGML_MAX_NAME with its final zero
MAX_STRING = 1 << 24  # bytes; the longest real one is a chat template of about 20 kB
MAX_STRINGS = 1 << 22  # in all arrays together; real files: tokens and merges of a 262k vocabulary make 0.8 million
MAX_KEPT = 1 << 22  # bytes of values kept in memory
MAX_KEPT_ARRAY = 1 << 12  # elements: arrays with a value a layer are kept, vocabularies are not
MAX_ALIGNMENT = 1 << 16
WINDOW = 1 << 20  # bytes read at once

MAGIC = b"GGUF"
U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")
SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
INTEGERS = frozenset({0, 1, 2, 3, 4, 5, 10, 11})
F32, STRING, ARRAY = 6, 8, 9
TOKENS = "tokenizer.ggml.tokens"


class Tensor(NamedTuple):
    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int  # bytes from the start of the data section
    elements: int
    size: int  # bytes


class Container(NamedTuple):
    version: int
    values: dict[str, Value]  # scalars, strings, and short arrays of integers
    lengths: dict[str, int]  # of every array, kept or not
    kinds: dict[str, int]  # of every value, as the file numbers them
    tensors: list[Tensor]
    data_offset: int  # bytes
    found: frozenset[bytes] = frozenset()  # of infill's NAMES, among the tokens


class _Cursor:
    """Reads forward through the header, a window at a time; every step is checked against the file's length."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self.length = length
        self._window = b""
        self._base = 0  # offset of the window in the file
        self._at = 0  # offset in the window
        self._kept = 0

    @property
    def position(self) -> int:
        return self._base + self._at

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._window):
            self._refill(size)
        start = self._at
        self._at += size
        return self._window[start : self._at]

    def skip(self, size: int, what: str) -> None:
        if size > self.length - self.position:
            raise InvalidModel(
                f"The file is truncated or damaged: {what} needs {size} bytes, {self.length - self.position} are left."
            )
        self._at += size  # may leave the window; the next take() refills

    def u32(self) -> int:
        return int(U32.unpack(self.take(4))[0])

    def u64(self) -> int:
        return int(U64.unpack(self.take(8))[0])

    def string(self, limit: int, what: str) -> str:
        size = self.u64()
        if size > limit:
            raise InvalidModel(f"{what} is {size} bytes long; at most {limit} are allowed.")
        self.keep(size)
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise InvalidModel(f"{what} is not UTF-8.") from None

    def keep(self, size: int) -> None:
        """Charge `size` bytes to what may stay in memory."""
        self._kept += size
        if self._kept > MAX_KEPT:
            raise InvalidModel(f"The header holds more than {MAX_KEPT} bytes of values.")

    def skip_strings(self, count: int, what: str, wanted: frozenset[bytes]) -> set[bytes]:
        """Those of `wanted` that are among them. The hot loop: a vocabulary has 50,000 to 260,000 strings, so the
        window is walked with local names."""
        unpack, sizes, found = U64.unpack_from, frozenset(map(len, wanted)), set()
        while count:
            window, at = self._window, self._at
            last, least = len(window) - 8, 8
            while count and at <= last:
                size = unpack(window, at)[0]
                if size > MAX_STRING:
                    raise InvalidModel(f"A string in {what} is {size} bytes long; at most {MAX_STRING} are allowed.")
                if size in sizes:
                    if at + 8 + size > len(window):  # looked at in the next one
                        least += size
                        break
                    if (string := window[at + 8 : at + 8 + size]) in wanted:
                        found.add(string)
                at += 8 + size
                count -= 1
            self._at = at
            if self.position > self.length:
                raise InvalidModel(f"The file is truncated or damaged: {what} goes beyond its end.")
            if count:
                self._refill(least)
        return found

    def _refill(self, size: int) -> None:
        start = self.position
        if size > self.length - start:
            raise InvalidModel(
                f"The file is truncated or damaged: {size} bytes are needed at {start}, {self.length - start} are left."
            )
        self._file.seek(start)
        self._window = self._file.read(max(size, WINDOW))
        self._base, self._at = start, 0
        if len(self._window) < size:
            raise InvalidModel("The file became shorter while it was read.")


def open_container(path: Path) -> Container:
    """Raises InvalidModel."""
    try:
        with open(path, "rb", buffering=0, opener=without_waiting) as file:
            return read_container(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise InvalidModel(f"{path.name} cannot be read: {error.strerror}.") from error


def without_waiting(path: str, flags: int) -> int:
    """Opening a pipe that nobody writes to must not block."""
    return os.open(path, flags | os.O_NONBLOCK)


def read_container(file: BinaryIO, length: int) -> Container:
    """Read and check the header of a file of `length` bytes. Raises InvalidModel; OSError passes through."""
    cursor = _Cursor(file, length)
    version, tensor_count, key_count = _read_preamble(cursor)
    values: dict[str, Value] = {}
    lengths: dict[str, int] = {}
    kinds: dict[str, int] = {}
    found: set[bytes] = set()
    seen: set[str] = set()
    strings = 0
    for _ in range(key_count):
        key = cursor.string(MAX_KEY, "A key")
        if not key or "\0" in key or key in seen:
            raise InvalidModel(f"The key {key[:80]!r} is {'there twice' if key in seen else 'not valid'}.")
        seen.add(key)
        kind = kinds[key] = cursor.u32()
        strings += _read_value(cursor, key, kind, values, lengths, found)
        if strings > MAX_STRINGS:
            raise InvalidModel(f"The header holds more than {MAX_STRINGS} strings.")
    names: set[str] = set()
    tensors = [_read_tensor(cursor, names) for _ in range(tensor_count)]
    data_offset = _check_layout(tensors, _alignment(values), cursor.position, length)
    return Container(version, values, lengths, kinds, tensors, data_offset, frozenset(found))


def _read_preamble(cursor: _Cursor) -> tuple[int, int, int]:
    """Version, number of tensors, number of keys."""
    if cursor.length < 24:
        raise InvalidModel(f"A file of {cursor.length} bytes is no GGUF model.")
    if (magic := cursor.take(4)) != MAGIC:
        raise InvalidModel(f"The file starts with {magic!r}, not with b'GGUF': it is no GGUF model.")
    version = cursor.u32()
    if version not in (2, 3):
        why = "it is written for big-endian machines" if version & 0xFFFF == 0 else "only 2 and 3 are known"
        raise InvalidModel(f"GGUF version {version} cannot be read: {why}.")
    tensor_count, key_count = cursor.u64(), cursor.u64()
    left = cursor.length - cursor.position
    # The smallest tensor entry takes 33 bytes, the smallest key 14.
    if tensor_count > min(MAX_TENSORS, left // 33) or key_count > min(MAX_KEYS, left // 14):
        raise InvalidModel(f"{tensor_count} tensors and {key_count} keys do not fit into {cursor.length} bytes.")
    if tensor_count == 0:
        raise InvalidModel("The file holds no weights.")
    return version, tensor_count, key_count


def _read_value(
    cursor: _Cursor, key: str, kind: int, values: dict[str, Value], lengths: dict[str, int], found: set[bytes]
) -> int:
    """Read one value, keep it if it is of use; the number of strings that were walked over."""
    if kind in SCALARS:
        values[key] = SCALARS[kind].unpack(cursor.take(SCALARS[kind].size))[0]
        return 0
    if kind == STRING:
        values[key] = cursor.string(MAX_KEPT, f"The value of {key!r}")
        return 0
    if kind != ARRAY:
        raise InvalidModel(f"The value of {key!r} has the unknown type {kind}.")
    kind, count = cursor.u32(), cursor.u64()
    if kind == STRING:
        if count > min(MAX_STRINGS, (cursor.length - cursor.position) // 8):
            raise InvalidModel(f"{key!r} claims {count} strings, more than the file can hold.")
        found |= cursor.skip_strings(count, key, NAMES if key == TOKENS else frozenset())
        lengths[key] = count
        return count
    if kind not in SCALARS:
        raise InvalidModel(f"{key!r} is an array of the type {kind}, which is not allowed.")
    scalar = SCALARS[kind]
    if kind in INTEGERS and count <= MAX_KEPT_ARRAY and count * scalar.size <= cursor.length - cursor.position:
        cursor.keep(count * 32)  # a Python int in a list
        values[key] = [item[0] for item in scalar.iter_unpack(cursor.take(count * scalar.size))]
    else:
        cursor.skip(count * scalar.size, key)
    lengths[key] = count
    return 0


def _read_tensor(cursor: _Cursor, seen: set[str]) -> Tensor:
    name = cursor.string(MAX_TENSOR_NAME, "A tensor's name")
    if not name or "\0" in name or name in seen:
        raise InvalidModel(f"The tensor name {name!r} is {'there twice' if name in seen else 'not valid'}.")
    seen.add(name)
    dims = cursor.u32()
    if not 1 <= dims <= MAX_DIMS:
        raise InvalidModel(f"Tensor {name!r} has {dims} dimensions; 1 to {MAX_DIMS} are possible.")
    shape = tuple(cursor.u64() for _ in range(dims))
    number, offset = cursor.u32(), cursor.u64()
    kind = TENSOR_TYPES.get(number)
    if kind is None:
        raise InvalidModel(f"Tensor {name!r} has the type {number}, which this version does not know.")
    elements = 1
    for size in shape:
        elements *= size
    if not 0 < elements <= INT64_MAX or shape[0] % kind.block:
        raise InvalidModel(f"Tensor {name!r} has the impossible shape {shape} for {kind.name}.")
    size = elements // kind.block * kind.size
    if size > cursor.length or offset > cursor.length:
        raise InvalidModel(
            f"The file is truncated or damaged: tensor {name!r} has {size} bytes at {offset}, the file {cursor.length}."
        )
    return Tensor(name, shape, kind, offset, elements, size)


def _alignment(values: dict[str, Value]) -> int:
    alignment = values.get("general.alignment", 32)
    if type(alignment) is not int or not 1 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise InvalidModel(f"general.alignment is {alignment!r}; it must be a power of two up to {MAX_ALIGNMENT}.")
    return alignment


def _check_layout(tensors: list[Tensor], alignment: int, header: int, length: int) -> int:
    """Tensors are aligned, inside the file and apart from each other; where the data section starts."""
    start = -(-header // alignment) * alignment
    end = 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
        if tensor.offset % alignment:
            raise InvalidModel(f"Tensor {tensor.name!r} at {tensor.offset} is not aligned to {alignment} bytes.")
        if tensor.offset < end:
            raise InvalidModel(f"Tensor {tensor.name!r} overlaps the one before it.")
        end = tensor.offset + tensor.size
        if start + end > length:
            raise InvalidModel(
                f"The file is truncated: tensor {tensor.name!r} ends at byte {start + end}, the file at {length}."
            )
    return start
