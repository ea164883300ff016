"""The signs of one account's vectors in RAM, searched by brute force. Pure; numpy is imported when used.

56 bytes a vector of 384 dimensions (48 of signs, 8 of its id) where a search tree would take 500 and more. Two looks:
by Hamming distance over all, then the best of those by what the query's own numbers make of the signs. The second look
costs nothing from the file and makes a quarter of the reads do: `benchmarks/recall.py` has the figures.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Vectors a block. Adding and removing move at most one block (0.4 MB), and a search gives other threads their turn
#: after each (under 0.2 ms).
BLOCK = 8192
#: For each id that is wanted, this many go from the first look into the second.
WIDER = 8
#: Of these, so many at once: as float32 each takes 32 times its bits, and what a thread once took stays with it.
ROWS = 256


class _Block:
    """Sorted by id. The bits lie word by word (all first words, then all second ones): three times as fast to scan."""

    def __init__(self, words: int) -> None:
        import numpy as np

        self.count = 0
        self.ids = np.empty(BLOCK, np.int64)
        self.bits = np.empty((words, BLOCK), np.uint64)

    def at(self, key: int) -> tuple[int, bool]:
        """Where `key` is or would be, and whether it is there."""
        place = int(self.ids[: self.count].searchsorted(key))
        return place, place < self.count and int(self.ids[place]) == key

    def fill(self, ids: NDArray[np.int64], bits: NDArray[np.uint64]) -> None:
        self.count = len(ids)
        self.ids[: self.count] = ids
        self.bits[:, : self.count] = bits

    def shift(self, place: int, by: int) -> None:
        """Make room for one at `place` (by = 1), or close its gap (by = -1)."""
        source, target = (place, place + 1) if by > 0 else (place + 1, place)
        end = self.count
        self.ids[target : end + by] = self.ids[source:end].copy()
        self.bits[:, target : end + by] = self.bits[:, source:end].copy()
        self.count += by


class BitIndex:
    """Not for two threads at once: the caller holds a lock."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._words = -(-dimensions // 64)
        self._blocks: list[_Block] = []

    def __len__(self) -> int:
        return sum(block.count for block in self._blocks)

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self._blocks) * BLOCK * (self._words + 1) * 8

    def items(self) -> Iterator[tuple[int, bytes]]:
        """(id, bits), by id."""
        for block in self._blocks:
            for place in range(block.count):
                yield int(block.ids[place]), block.bits[:, place].tobytes()

    def put(self, key: int, bits: bytes) -> None:
        """Add, or replace."""
        import numpy as np

        row = np.frombuffer(bits, "<u8")
        if not self._blocks or (self._blocks[-1].count == BLOCK and key > int(self._blocks[-1].ids[-1])):
            self._blocks.append(_Block(self._words))
        block = self._blocks[self._find(key)]
        if block.count == BLOCK and not block.at(key)[1]:
            self._split(block)
            block = self._blocks[self._find(key)]
        place, there = block.at(key)
        if not there:
            block.shift(place, 1)
        block.ids[place], block.bits[:, place] = key, row

    def extend(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """Add many whose ids ascend beyond all that are here."""
        import numpy as np

        batch = list(rows)
        ids = np.array([key for key, _ in batch], np.int64)
        bits = np.frombuffer(b"".join(bits for _, bits in batch), "<u8").reshape(len(batch), self._words).T
        start = 0
        while start < len(batch):
            if not self._blocks or self._blocks[-1].count == BLOCK:
                self._blocks.append(_Block(self._words))
            block = self._blocks[-1]
            take = min(BLOCK - block.count, len(batch) - start)
            begin, end = block.count, block.count + take
            block.ids[begin:end] = ids[start : start + take]
            block.bits[:, begin:end] = bits[:, start : start + take]
            block.count = end
            start += take

    def remove(self, key: int) -> None:
        """Nothing happens if it is not here."""
        if not self._blocks:
            return
        number = self._find(key)
        block = self._blocks[number]
        place, there = block.at(key)
        if there:
            block.shift(place, -1)
            if not block.count:
                del self._blocks[number]

    def search(self, vector: bytes, count: int) -> list[int]:
        """Ids of about the `count` nearest to `vector` (little-endian float32), nearest first."""
        import numpy as np

        query = np.frombuffer(vector, "<f4")
        packed = np.packbits(query > 0, bitorder="little").tobytes()
        words = np.frombuffer(packed.ljust(self._words * 8, b"\0"), "<u8")
        found = self._near(words, count * WIDER)
        if len(found.ids) <= count:
            keep = np.argsort(found.distances, kind="stable")
            return [int(key) for key in found.ids[keep]]
        packed_rows = np.ascontiguousarray(found.bits.T).view(np.uint8)
        scores = np.concatenate([_sums(packed_rows[i : i + ROWS], query) for i in range(0, len(packed_rows), ROWS)])
        best = np.argpartition(-scores, count)[:count]
        return [int(key) for key in found.ids[best[np.argsort(-scores[best], kind="stable")]]]

    def _near(self, words: NDArray[np.uint64], count: int) -> _Near:
        """The `count` nearest by Hamming distance; of those at the last distance, the oldest."""
        near = _Near(self._words)
        limit = self.dimensions + 1
        for block in self._blocks:
            bits = block.bits[:, : block.count]
            distances = _popcount(bits[0] ^ words[0])
            for word in range(1, self._words):
                distances += _popcount(bits[word] ^ words[word])
            near.add(block.ids[: block.count], bits, distances, limit)
            if len(near.ids) > 2 * count:
                limit = near.cut(count)
        near.cut(count)
        return near

    def _find(self, key: int) -> int:
        return max(bisect.bisect_right(self._blocks, key, key=lambda block: int(block.ids[0])) - 1, 0)

    def _split(self, block: _Block) -> None:
        half, number = BLOCK // 2, self._blocks.index(block)
        upper = _Block(self._words)
        upper.fill(block.ids[half:], block.bits[:, half:])
        block.count = half
        self._blocks.insert(number + 1, upper)


class _Near:
    """The nearest so far."""

    def __init__(self, words: int) -> None:
        import numpy as np

        self.ids = np.empty(0, np.int64)
        self.bits = np.empty((words, 0), np.uint64)
        self.distances = np.empty(0, np.uint16)

    def add(self, ids: NDArray[Any], bits: NDArray[Any], distances: NDArray[Any], limit: int) -> None:
        """Those nearer than `limit`."""
        import numpy as np

        keep = np.flatnonzero(distances < limit)
        self.ids = np.concatenate((self.ids, ids[keep]))
        self.bits = np.concatenate((self.bits, bits[:, keep]), axis=1)
        self.distances = np.concatenate((self.distances, distances[keep]))

    def cut(self, count: int) -> int:
        """Keep the nearest `count`; the distance of the last."""
        import numpy as np

        if len(self.ids) > count:
            keep = np.sort(np.argsort(self.distances, kind="stable")[:count])
            self.ids, self.bits, self.distances = self.ids[keep], self.bits[:, keep], self.distances[keep]
        return int(self.distances.max(initial=0))


def _sums(rows: NDArray[np.uint8], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each row, the sum of those numbers of `query` whose sign is set."""
    import numpy as np

    found: NDArray[np.float32] = np.unpackbits(rows, axis=1, bitorder="little")[:, : len(query)] @ query
    return found


def _popcount(words: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Bits set in each word. numpy has a function for it from 2.0 on; a table of bytes is 8 times as slow."""
    import numpy as np

    count = getattr(np, "bitwise_count", None)
    if count is not None:
        found: NDArray[np.uint16] = count(words).astype(np.uint16)
        return found
    return table_popcount(words)


def table_popcount(words: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """The same for numpy 1."""
    import numpy as np

    table = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1).astype(np.uint8)
    found: NDArray[np.uint16] = table[words.view(np.uint8).reshape(-1, 8)].sum(axis=1, dtype=np.uint16)
    return found
