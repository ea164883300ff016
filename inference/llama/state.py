"""llama.cpp's state of one sequence, cut into blocks of tokens and put together again. Bytes in, bytes out.

The state (llama-kv-cache.cpp, `state_write`) lists the cells, then K of every layer, then V of every layer, each as one
row a token. So a block of tokens is the same few rows out of each layer. A state that looks any different (V
transposed, cells with more than a position) is Unsliceable. The cells of a sliding window, and a recurrent part, come
behind; they belong to the sequence's end alone, are no rows of blocks and are taken as they are.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

MAGIC = 0xAF143CD8
_HEAD = struct.Struct("<IiI")  # magic, sequence, streams
_CELL = struct.Struct("<iIi")  # position, number of sequences (1), sequence
_KIND = struct.Struct("<II")  # V transposed, layers
_PART = struct.Struct("<iQ")  # element type, bytes a row


#: The state of nothing: magic and sequence.
EMPTY = struct.pack("<Ii", MAGIC, 0)


class Unsliceable(Exception):
    """The state is not made of rows for consecutive tokens from 0 on."""


@dataclass(frozen=True)
class Layout:
    """What a state has beside its rows; the same for all sequences of a context."""

    streams: int
    layers: int
    parts: tuple[tuple[int, int], ...]  # (element type, bytes a row) of each K, then of each V

    @property
    def row(self) -> int:
        """Bytes of one token."""
        return sum(size for _, size in self.parts)

    @property
    def digest(self) -> str:
        """Blocks of equal digests fit together. The number of streams is no part of a block."""
        return hashlib.blake2b(repr((1, self.layers, self.parts)).encode(), digest_size=8).hexdigest()


def split(whole: memoryview, uncut: memoryview) -> tuple[memoryview, bytes]:
    """(the state without what belongs to the end alone, that part); `uncut` is what the library calls partial.

    Of a plain attention cache that is everything, and of one that is not known too: told apart by `parse`.
    """
    tail = body(uncut)
    rows = whole[: len(whole) - len(tail)]
    if rows[len(EMPTY) :] and whole[len(rows) :] == tail:
        return rows, tail
    try:
        parse(whole)
    except Unsliceable:
        return whole[: len(EMPTY)], body(whole)
    return whole, b""


def body(whole: memoryview) -> bytes:
    """A state without magic and sequence."""
    return bytes(whole[len(EMPTY) :])


def form(layout: Layout | None, checkpoints: bool, slots: int) -> str:
    """What must be equal for a stored beginning to fit."""
    facts = (layout.digest if layout else "", slots)
    return hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest() if checkpoints else facts[0]


def parse(state: memoryview) -> tuple[Layout, int, tuple[int, ...]]:
    """(layout, tokens, where the rows of each part begin). Raises Unsliceable."""
    try:
        return _parse(state)
    except struct.error as error:
        raise Unsliceable(f"the state ends too early: {error}") from error


def _parse(state: memoryview) -> tuple[Layout, int, tuple[int, ...]]:
    magic, _, streams = _HEAD.unpack_from(state)
    if magic != MAGIC or not 0 < streams <= 256:
        raise Unsliceable("no sequence state of this library")
    position, tokens, before = _HEAD.size, 0, 0
    while not tokens:  # of all streams, only the sequence's own has cells
        if before == streams:
            raise Unsliceable("the sequence is empty")
        (tokens,) = struct.unpack_from("<I", state, position)
        position += 4
        before += 1
    if tokens * _CELL.size > len(state) - position:
        raise Unsliceable("more cells than bytes")
    cells = _CELL.iter_unpack(state[position : position + tokens * _CELL.size])
    if any(place != index or owners != 1 for index, (place, owners, _) in enumerate(cells)):
        raise Unsliceable("the cells are not consecutive tokens")
    position += tokens * _CELL.size
    transposed, layers = _KIND.unpack_from(state, position)
    position += _KIND.size
    if transposed or not 0 < layers <= 4096:
        raise Unsliceable("V is transposed")
    parts: list[tuple[int, int]] = []
    begins: list[int] = []
    end = len(state) - 4 * (streams - before)
    while position < end and len(parts) < 2 * layers:
        kind, row = _PART.unpack_from(state, position)
        parts.append((kind, row))
        begins.append(position + _PART.size)
        position += _PART.size + tokens * row
    if position != end or any(state[end:]) or len(parts) not in (layers, 2 * layers):
        raise Unsliceable("there is more than rows of K and V")
    return Layout(streams, layers, tuple(parts)), tokens, tuple(begins)


def cut(state: memoryview, size: int, begin: int, end: int) -> list[bytes]:
    """Blocks number `begin` to `end` (exclusive) of `size` tokens each, the last maybe short. Raises Unsliceable."""
    layout, tokens, begins = parse(state)
    if (end - 1) * size >= tokens:
        raise Unsliceable(f"the sequence has {tokens} tokens, not {end * size}")
    rows = [(at, row) for at, (_, row) in zip(begins, layout.parts, strict=True)]
    places = [(n * size, min((n + 1) * size, tokens)) for n in range(begin, end)]
    return [b"".join(state[at + first * row : at + last * row] for at, row in rows) for first, last in places]


def join(layout: Layout, blocks: Sequence[bytes], size: int) -> bytes:
    """A whole state of blocks of `size` tokens, the last of fewer maybe. Raises Unsliceable for any other length."""
    last, odd = divmod(len(blocks[-1]), layout.row) if blocks else (0, 0)
    if odd or not 0 < last <= size or any(len(block) != size * layout.row for block in blocks[:-1]):
        raise Unsliceable("a block has a wrong length")
    views = [(memoryview(block), size) for block in blocks[:-1]] + [(memoryview(blocks[-1]), last)]
    tokens = sum(count for _, count in views)
    pieces: list[bytes | memoryview] = [_HEAD.pack(MAGIC, 0, layout.streams), struct.pack("<I", tokens)]
    pieces.append(b"".join(_CELL.pack(place, 1, 0) for place in range(tokens)))
    pieces.append(_KIND.pack(0, layout.layers))
    at = 0
    for kind, row in layout.parts:
        pieces.append(_PART.pack(kind, row))
        pieces += [view[at * count : (at + row) * count] for view, count in views]
        at += row
    pieces.append(bytes(4 * (layout.streams - 1)))
    return b"".join(pieces)
