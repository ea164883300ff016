"""The RAM tier: blocks by key, within a budget of bytes."""

from __future__ import annotations

from mongarsd.inference.cache.ledger import Ledger


class Ram:
    def __init__(self, budget: int) -> None:
        self._ledger = Ledger(budget)
        self._blocks: dict[bytes, bytes] = {}
        self.evictions = 0

    @property
    def used(self) -> int:
        """Bytes."""
        return self._ledger.used

    def __len__(self) -> int:
        return len(self._blocks)

    def __contains__(self, key: bytes) -> bool:
        return key in self._blocks

    def get(self, key: bytes, now: float) -> bytes | None:
        self._ledger.touch(key, now)
        return self._blocks.get(key)

    def put(self, key: bytes, parent: bytes, position: int, block: bytes, now: float) -> bool:
        """False when it has no place, or its predecessor is not here."""
        taken, gone = self._ledger.add(key, parent, size=len(block), position=position, now=now)
        for victim in gone:
            del self._blocks[victim]
        self.evictions += len(gone)
        if taken:
            self._blocks[key] = block
        return taken

    def remove(self, key: bytes) -> None:
        for gone in self._ledger.remove(key):
            del self._blocks[gone]

    def shrink(self, size: int, now: float) -> None:
        """Give back about `size` bytes, least useful blocks first. The budget stays."""
        budget = self._ledger.budget
        gone = self._ledger.shrink(max(0, self.used - size), now)
        self._ledger.budget = budget
        for key in gone:
            del self._blocks[key]
        self.evictions += len(gone)

    def clear(self) -> None:
        for key in list(self._blocks):
            self.remove(key)
