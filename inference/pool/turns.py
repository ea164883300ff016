"""Requests that wait until models in memory have nothing to do: so many at most, each for a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mongarsd.inference.pool.budget import Crowded

T = TypeVar("T")


class Turns:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.waiting = 0  # requests
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """There may be room now: all who wait look again, in the order in which they began to wait."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def take(self, attempt: Callable[[], Awaitable[T]], seconds: float) -> T:
        """What `attempt` returns, once it does not raise Crowded. That is raised when the time or the limit is over."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            changed = self._changed  # of now: what changes during the attempt counts
            try:
                return await attempt()
            except Crowded:
                if self.waiting >= self._limit or loop.time() >= until:
                    raise
            self.waiting += 1
            try:
                async with asyncio.timeout_at(until):
                    await changed.wait()
            except TimeoutError:
                pass  # one last look
            finally:
                self.waiting -= 1


async def finished(*futures: asyncio.Future[None]) -> None:
    """Wait for all of them to the end, even when the caller is cancelled meanwhile: then that is raised afterwards."""
    cancelled: asyncio.CancelledError | None = None
    waiting = asyncio.ensure_future(asyncio.wait(futures))
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
