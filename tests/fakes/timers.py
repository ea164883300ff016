"""Time-outs that come when a test says so, and none that comes because the machine was busy."""

from __future__ import annotations

import asyncio


class LoopClock:
    """The running loop's clock, which goes on by itself, and is put forward when told."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._now, self._ahead = loop.time, 0.0
        loop.time = self.time  # type: ignore[method-assign]

    def time(self) -> float:
        return self._now() + self._ahead

    async def advance(self, seconds: float) -> None:
        """What was due by then has run when this returns."""
        self._ahead += seconds
        for _ in range(3):  # the loop looks at its timers, runs their callbacks, and then the tasks that those woke
            await asyncio.sleep(0)
