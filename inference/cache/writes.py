"""How much may still be written today. SD cards wear out; the count survives restarts and is shared by all workers."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

DAY = 86_400.0
#: The file with the day's count, beside the spaces of the disk tier.
WRITES = "written"


class DailyWrites:
    """`path` holds "DAY BYTES", locked while it is changed. A damaged one counts as nothing written."""

    def __init__(self, path: Path, budget: int) -> None:
        self._path, self._budget = path, budget
        self._day, self._bytes = -1, 0  # what was last known: nobody else writes much between two looks

    def left(self, now: float) -> int:
        """Bytes."""
        if int(now // DAY) != self._day:
            self._day, self._bytes = int(now // DAY), written_today(self._path, now)
        return max(0, self._budget - self._bytes)

    def add(self, size: int, now: float) -> None:
        """Raises OSError."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._day = int(now // DAY)
            self._bytes = _parse(os.pread(file, 64, 0), self._day) + size
            text = f"{self._day} {self._bytes}\n".encode()
            os.pwrite(file, text, 0)
            os.ftruncate(file, len(text))
        finally:
            os.close(file)


def written_today(path: Path, now: float) -> int:
    """Bytes."""
    with contextlib.suppress(OSError):
        return _parse(path.read_bytes()[:64], int(now // DAY))
    return 0


def _parse(text: bytes, today: int) -> int:
    with contextlib.suppress(ValueError):
        day, size = map(int, text.split())
        if day == today and size >= 0:
            return size
    return 0
