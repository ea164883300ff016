"""The events of one session, numbered 1, 2, 3 …: the one place where they wait to be sent, and are kept afterwards.

It is bounded in bytes and in age, and forgets the oldest. So it is at once the queue to a reader, what a reader that
comes back is told, and the measure of one that is too slow: who has not been sent an event that is forgotten. Pure.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

MOST = 256 * 1024  # bytes, `OVERHEAD` included
LONGEST = 120.0  # seconds
#: Bytes that an event takes beside its own: a tuple, three numbers, the header of the text.
OVERHEAD = 160


class _Kept(NamedTuple):
    frame: bytes
    at: float  # monotonic seconds
    end: int  # bytes of all events up to this one


class Log:
    """Holds the events `first` to `last`; none of them when `first` is `last` + 1."""

    def __init__(self, most: int = MOST, longest: float = LONGEST) -> None:
        self._most, self._longest = most, longest
        self._kept: deque[_Kept] = deque()
        self._end = 0
        self.last = 0

    @property
    def first(self) -> int:
        return self.last - len(self._kept) + 1

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return self.after(self.first - 1)

    def append(self, frame: bytes, now: float) -> None:
        """The event after `last`. A single one that is larger than the bound is held until the next one comes."""
        self._end += len(frame) + OVERHEAD
        self._kept.append(_Kept(frame, now, self._end))
        self.last += 1
        self.trim(now)

    def trim(self, now: float) -> None:
        while self._kept and self._kept[0].at + self._longest <= now:
            self._kept.popleft()
        while len(self._kept) > 1 and self.size > self._most:
            self._kept.popleft()

    def get(self, seq: int) -> bytes | None:
        """None: forgotten, or not there yet."""
        return self._kept[seq - self.first].frame if self.first <= seq <= self.last else None

    def after(self, seq: int) -> int:
        """Bytes of the events after `seq` that are held."""
        if seq >= self.last or not self._kept:
            return 0
        oldest = self._kept[max(seq + 1 - self.first, 0)]
        return self._end - oldest.end + len(oldest.frame) + OVERHEAD

    def fits(self, size: int, sent: int) -> bool:
        """Could an event of so many bytes be added without forgetting one after `sent`?"""
        waiting = self.after(sent)
        return not waiting or waiting + size + OVERHEAD <= self._most
