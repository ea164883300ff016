"""Was it the kernel, for want of memory, that killed a worker? Pure: the kernel's count is passed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

#: Looks whose counts are compared: a big process takes a while to die, and may be counted before its end is seen.
LOOKS = 4


class OomWatch:
    """`look` every tick; `killed` when the worker has ended."""

    def __init__(self, count: Callable[[], int]) -> None:
        """`count`: processes the kernel has killed to get memory."""
        self._count = count
        self._seen = deque([count()], maxlen=LOOKS)

    def look(self) -> None:
        self._seen.append(self._count())

    def killed(self, how: str) -> bool:
        """`how` the worker ended, in `WorkerProcess`'s words; one that we killed ourselves is told otherwise."""
        if how != "was killed by SIGKILL":
            return False
        now = self._count()
        before, self._seen = self._seen[0], deque([now], maxlen=LOOKS)
        return now > before
