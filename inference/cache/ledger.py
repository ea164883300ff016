"""Which blocks a tier holds, and which go when its budget is full. Pure.

Blocks form trees (a block follows its predecessor's), and only a block that nothing follows may go: a child is never
kept longer than its parent. Of those, the one goes whose age divided by its worth is largest; worth is prefill time
saved ÷ bytes. That is LRU in which what is dear to compute again stays longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mongarsd.inference.cache.keys import ROOT

#: A token's prefill costs twice as much behind so many tokens (64 tokens: 0.07 s at the front, 0.21 s behind 1,400).
DOUBLE = 700
#: Added to a position: what is there is no block that begins so, but a checkpoint of so many tokens from the front on.
CHECKPOINT = 1 << 31
#: Tokens of the unit that worth is counted in.
UNIT = 64


@dataclass
class Entry:
    parent: bytes
    size: int  # bytes
    position: int  # of its first token, or tokens + CHECKPOINT
    used: float  # seconds
    children: set[bytes] = field(default_factory=set)

    def score(self, now: float) -> float:
        """The greatest goes first."""
        return (now - self.used + 1e-3) * self.size / worth(self.position)


def worth(position: int) -> float:
    """Prefill time that a hit saves, in those of the first 64 tokens."""
    if position < CHECKPOINT:
        return 1 + position / DOUBLE
    tokens = position - CHECKPOINT
    return tokens / UNIT * (1 + tokens / 2 / DOUBLE)


class Ledger:
    """Its methods return the keys that go; whoever holds their bytes drops them."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.used = 0
        self._entries: dict[bytes, Entry] = {}

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._entries)

    def parent(self, key: bytes) -> bytes:
        return self._entries[key].parent

    def position(self, key: bytes) -> int:
        return self._entries[key].position

    def touch(self, key: bytes, now: float) -> None:
        """Used again. A chain is touched from its first block on, so no child is younger than its parent."""
        if entry := self._entries.get(key):
            entry.used = max(entry.used, now)

    def add(self, key: bytes, parent: bytes, *, size: int, position: int, now: float) -> tuple[bool, list[bytes]]:
        """Take a block in: (taken, keys that went for it). Refused without its predecessor, or when it is too large."""
        if key in self._entries:
            self.touch(key, now)
            return True, []
        rooted = not position or parent == ROOT
        if size > self.budget or not (rooted or parent in self._entries):
            return False, []
        kept = self._line(parent)
        gone: list[bytes] = []
        while self.used + size > self.budget:
            victim = self._victim(now, kept)
            if victim is None:  # only its own predecessors are left
                return False, gone
            gone += self.remove(victim)
        self._entries[key] = Entry(parent, size, position, now)
        self.used += size
        if not rooted:
            self._entries[parent].children.add(key)
        return True, gone

    def shrink(self, budget: int, now: float) -> list[bytes]:
        """A new budget; what no longer fits goes."""
        self.budget = budget
        gone: list[bytes] = []
        while self.used > budget and (victim := self._victim(now, set())) is not None:
            gone += self.remove(victim)
        return gone

    def remove(self, key: bytes) -> list[bytes]:
        """Take a block out, and all that follow it: they are worthless without it."""
        if (first := self._entries.get(key)) and (above := self._entries.get(first.parent)):
            above.children.discard(key)
        gone, rest = [], [key]
        while rest:
            key = rest.pop()
            if entry := self._entries.pop(key, None):
                self.used -= entry.size
                rest += entry.children
                gone.append(key)
        return gone

    def _victim(self, now: float, kept: set[bytes]) -> bytes | None:
        leaves = [key for key, entry in self._entries.items() if not entry.children and key not in kept]
        return max(leaves, key=lambda key: self._entries[key].score(now), default=None)

    def _line(self, key: bytes) -> set[bytes]:
        """The block and all before it."""
        line: set[bytes] = set()
        while entry := self._entries.get(key):
            line.add(key)
            key = entry.parent
        return line
