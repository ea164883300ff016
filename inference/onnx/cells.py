"""The KV cache of an ONNX decoder: arrays [sequences, heads, tokens, numbers], two a layer, that the graph reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from mongarsd.inference.engine.base import BLOCK
from mongarsd.inference.models.onnx_decoder import DecoderHeader

Array = np.ndarray[Any, Any]


class Cells(Protocol):
    together: bool  # neighbouring sequences can be computed in one run

    def past(self, first: int, count: int) -> list[Array]:
        """What the graph reads: of `count` sequences from `first` on."""
        ...

    def present(self, past: list[Array], new: int) -> list[Array]:
        """Where the graph writes, after `new` more tokens."""
        ...

    def keep(self, first: int, present: list[Array]) -> None:
        """The graph has written."""
        ...

    def read(self, sequence: int, begin: int, end: int) -> list[Array]:
        """Tokens of a sequence, [heads, tokens, numbers]; views."""
        ...

    def write(self, sequence: int, tables: Sequence[Array]) -> None:
        """Replace what a sequence has."""
        ...

    def trim(self, sequence: int, length: int) -> None: ...


class SharedCells:
    """Each sequence's cells for the whole context, written in place: a token costs no copy."""

    together = True

    def __init__(self, header: DecoderHeader, slots: int, context: int) -> None:
        shape = (slots, header.heads, context, header.size)
        self._tables = [np.zeros(shape, _type(header)) for _ in range(2 * header.layers)]  # touched when used

    def past(self, first: int, count: int) -> list[Array]:
        return [table[first : first + count] for table in self._tables]

    def present(self, past: list[Array], new: int) -> list[Array]:  # noqa: ARG002 (the contract)
        return past

    def keep(self, first: int, present: list[Array]) -> None:
        pass

    def read(self, sequence: int, begin: int, end: int) -> list[Array]:
        return [table[sequence, :, begin:end] for table in self._tables]

    def write(self, sequence: int, tables: Sequence[Array]) -> None:
        for mine, other in zip(self._tables, tables, strict=True):
            mine[sequence, :, : other.shape[1]] = other

    def trim(self, sequence: int, length: int) -> None:
        pass  # the mask says how much is read


class GrownCells:
    """For graphs that give a new cache each step: the newest of each sequence. A token costs one copy, in the graph."""

    together = False

    def __init__(self, header: DecoderHeader, slots: int) -> None:
        self._empty = np.zeros((1, header.heads, 0, header.size), _type(header))
        self._sequences = [[self._empty] * (2 * header.layers) for _ in range(slots)]

    def past(self, first: int, count: int) -> list[Array]:  # noqa: ARG002 (always one)
        return self._sequences[first]

    def present(self, past: list[Array], new: int) -> list[Array]:
        return [np.empty((1, t.shape[1], t.shape[2] + new, t.shape[3]), t.dtype) for t in past]

    def keep(self, first: int, present: list[Array]) -> None:
        self._sequences[first] = present

    def read(self, sequence: int, begin: int, end: int) -> list[Array]:
        return [table[0, :, begin:end] for table in self._sequences[sequence]]

    def write(self, sequence: int, tables: Sequence[Array]) -> None:
        self._sequences[sequence] = [np.array(table[None], order="C") for table in tables]

    def trim(self, sequence: int, length: int) -> None:
        if self._sequences[sequence][0].shape[2] > length:
            self.write(sequence, self.read(sequence, 0, length))


def cut(tables: Sequence[Array]) -> list[bytes]:
    """Blocks of tokens, the last maybe short, each with its part of every table."""
    return [b"".join(t[:, n : n + BLOCK].tobytes() for t in tables) for n in range(0, tables[0].shape[1], BLOCK)]


def join(header: DecoderHeader, blocks: Sequence[bytes]) -> list[Array] | None:
    """The tables again; None if a block has another length: only the last may be short."""
    kind, shape = _type(header), (2 * header.layers, header.heads, -1, header.size)
    whole = header.bytes_per_token * BLOCK
    if any(len(block) != whole for block in blocks[:-1]):
        return None
    if blocks and (not 0 < len(blocks[-1]) <= whole or len(blocks[-1]) % header.bytes_per_token):
        return None
    parts = [np.frombuffer(block, kind).reshape(shape) for block in blocks]
    return list(np.concatenate(parts, axis=2)) if parts else None


def _type(header: DecoderHeader) -> Any:
    return np.float16 if header.half else np.float32
