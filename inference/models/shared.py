"""One piece of work, watched by many: each sees the newest progress; when nobody watches any more, it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Generic, TypeVar

from mongarsd.ground.errors import SourceUnavailable
from mongarsd.ground.status import PullProgress

T = TypeVar("T")


class Shared(Generic[T]):
    def __init__(self, name: str, work: Callable[[Callable[[PullProgress], None]], Coroutine[Any, Any, T]]) -> None:
        self._latest: PullProgress | None = None
        self._changed = asyncio.Event()
        self._watchers = 0
        self._task = asyncio.get_running_loop().create_task(work(self._report), name=name)
        self._task.add_done_callback(self._ended)

    @property
    def over(self) -> bool:
        """Finished or cancelled: nobody can join."""
        return self._task.done() or self._task.cancelling() > 0

    @property
    def interrupted(self) -> bool:
        """It ended, or is about to, in a way that the next one can go on from."""
        task = self._task
        return not task.done() or task.cancelled() or isinstance(task.exception(), SourceUnavailable)

    async def follow(self) -> AsyncGenerator[PullProgress, None]:
        """Progress until the work ends; then `result` has the outcome. Closing the iterator leaves."""
        self._watchers += 1
        seen = None
        try:
            while True:
                if self._latest is not None and self._latest is not seen:
                    seen = self._latest
                    yield seen
                elif self._task.done():
                    return
                else:
                    self._changed.clear()
                    await self._changed.wait()
        finally:
            self._watchers -= 1
            if not self._watchers:
                await self.cancel()

    def result(self) -> T:
        """Of work that ended; raises what it raised, SourceUnavailable if it was cancelled."""
        if self._task.cancelled():
            raise SourceUnavailable("The pull was stopped; what has arrived is kept for the next one.")
        return self._task.result()

    async def cancel(self) -> None:
        """Idempotent; returns when the work has cleaned up."""
        self._task.cancel()
        await asyncio.wait([self._task])

    def _ended(self, task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            task.exception()  # seen, also when everybody left before they could ask for the result
        self._changed.set()

    def _report(self, progress: PullProgress) -> None:
        self._latest = progress
        self._changed.set()
