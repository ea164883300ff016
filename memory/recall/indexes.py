"""The indexes in RAM: one an account or store, read from the file when first searched, dropped when idle."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import aiosqlite

from mongarsd.ground.clock import Clock
from mongarsd.memory.database.database import Database
from mongarsd.memory.recall import rows
from mongarsd.memory.recall.bits import BitIndex

#: Rows read at once into an index: what they take before they are numbers stays with the process.
READ = 1024
#: Bytes of all indexes together: about a million vectors. One larger account may exceed it alone.
BUDGET = 64 * 1024 * 1024
#: Seconds without a search after which an index is dropped. Reading 100,000 vectors' signs again takes 0.1 s.
IDLE = 900.0

#: (reader, account, embedder, after which number, how many): the numbers ascend.
Signs = Callable[[aiosqlite.Connection, str, int, int, int], Awaitable[list[tuple[int, bytes]]]]
#: (number of a memory, its signs; None = it is gone)
Change = tuple[int, bytes | None]


@dataclass
class _Held:
    embedder: int
    index: BitIndex
    used: float
    changes: list[Change] = field(default_factory=list)  # not applied yet, because a search is looking
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def apply(self) -> None:
        changes, self.changes = self.changes, []
        for number, bits in changes:
            if bits is None:
                self.index.remove(number)
            else:
                self.index.put(number, bits)


class Indexes:
    def __init__(self, database: Database, clock: Clock, *, signs: Signs = rows.signs) -> None:
        """`signs` reads what an index holds."""
        self._database, self._clock, self._signs = database, clock, signs
        self._held: dict[str, _Held] = {}
        self.hits = self.misses = self.evictions = 0

    def __len__(self) -> int:
        """Vectors."""
        return sum(len(held.index) for held in self._held.values())

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(held.index.size for held in self._held.values())

    async def search(
        self, account: str, embedder: int, dimensions: int, vector: bytes, count: int | None = None
    ) -> list[int]:
        """Numbers of about the `count` nearest memories, nearest first. Raises StorageUnavailable."""
        held = self._held.get(account)
        if held is not None and held.embedder == embedder:
            self.hits += 1
        else:
            self.misses += 1
            held = self._held[account] = _Held(embedder, BitIndex(dimensions), self._clock.monotonic())
            async with held.lock:
                await self._load(account, held)
        # A caller that is cancelled must not free the lock while the thread still looks.
        found = await asyncio.shield(asyncio.create_task(self._look(held, vector, count)))
        self.trim()
        return found

    def change(self, account: str, embedder: int, changes: Sequence[Change]) -> None:
        """Call it in the order of the commits. An account whose index is not held needs nothing."""
        held = self._held.get(account)
        if held is None or held.embedder != embedder:
            return
        held.changes.extend(changes)
        if not held.lock.locked():
            held.apply()

    def remove(self, account: str, numbers: Sequence[int]) -> None:
        if held := self._held.get(account):
            self.change(account, held.embedder, [(number, None) for number in numbers])

    def drop(self, account: str) -> None:
        """Cheaper than to remove many: it is read again when it is needed."""
        self._held.pop(account, None)

    def clear(self) -> None:
        """Each is read again when it is needed."""
        self._held.clear()

    def trim(self) -> None:
        """Drop what was idle for long, then the longest idle of what is too much."""
        now = self._clock.monotonic()
        by_use = sorted(self._held.items(), key=lambda item: item[1].used)
        for account, held in by_use:
            idle = now - held.used > IDLE
            if not held.lock.locked() and (idle or (self.size > BUDGET and held is not by_use[-1][1])):
                del self._held[account]
                self.evictions += 1

    async def _look(self, held: _Held, vector: bytes, count: int | None) -> list[int]:
        async with held.lock:
            held.used = self._clock.monotonic()
            return await asyncio.to_thread(_search, held, vector, count)

    async def _load(self, account: str, held: _Held) -> None:
        try:
            async with self._database.reader() as reader:
                after = -1
                while batch := await self._signs(reader, account, held.embedder, after, READ):
                    await asyncio.to_thread(held.index.extend, batch)
                    after = batch[-1][0]
        except BaseException:
            self._held.pop(account, None)
            raise


def _search(held: _Held, vector: bytes, count: int | None) -> list[int]:
    held.apply()
    return held.index.search(vector, count or candidates(len(held.index)))


def candidates(vectors: int) -> int:
    """How many to compare by their int8 numbers; each is a read from the file.

    Real sentences, recall@10 against exact search (benchmarks/recall.py): 100 of 13,000 give 0.99, 200 of 100,000 0.98.
    """
    return max(100, int(0.65 * math.sqrt(vectors)))
