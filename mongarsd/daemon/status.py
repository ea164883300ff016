"""NodeStatus: what `mongarsctl status` shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from mongarsd import __version__
from mongarsd.ground.clock import Clock
from mongarsd.ground.status import BoardStatus, ModelStatus, NodeStatus, Reasoned


def resident_memory() -> int:
    """Bytes of this process in RAM."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - no Path needed on the status path
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Reporter:
    """Cheap enough to be asked every second."""

    def __init__(
        self,
        *,
        clock: Clock,
        listen: tuple[str, ...],
        state_dir: str,
        board: Callable[[], BoardStatus],
        models: Callable[[], Sequence[ModelStatus]],
        fetching: Callable[[], str],
        reasons: tuple[Reasoned, ...],
        warnings: Callable[[], Sequence[str]],
    ) -> None:
        self._clock, self._listen, self._state_dir = clock, listen, state_dir
        self._board, self._models, self._fetching = board, models, fetching
        self._reasons, self._warnings = reasons, warnings
        self._begin = clock.monotonic()

    def __call__(self) -> NodeStatus:
        return NodeStatus(
            version=__version__,
            pid=os.getpid(),
            uptime=self._clock.monotonic() - self._begin,
            listen=self._listen,
            state_dir=self._state_dir,
            memory=resident_memory(),
            board=self._board(),
            models=tuple(self._models()),
            fetching=self._fetching(),
            recommendation=self._reasons,
            warnings=tuple(self._warnings()),
        )
