"""Background tasks that are named, owned, and loud when they die."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)

OnDeath = Callable[[str, BaseException], None]


class Tasks:
    """Owns a part's background tasks; `close()` cancels and awaits them all, and may be called twice."""

    def __init__(self, owner: str, on_death: OnDeath | None = None) -> None:
        self._owner = owner
        self._on_death = on_death
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work`; if it raises, log it and tell `on_death`."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self._owner}.{name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("task %s died: %s", task.get_name(), error, exc_info=error)
        if self._on_death:
            self._on_death(task.get_name(), error)

    async def close(self) -> None:
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
