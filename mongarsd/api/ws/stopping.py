"""How a command that runs is stopped from outside: one await of it ends, and what follows is done in peace."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stop:
    def __init__(self) -> None:
        self.asked = False
        self._task: asyncio.Task[object] | None = None  # while it may be cancelled

    def ask(self) -> None:
        if not self.asked:
            self.asked = True
            if self._task:
                self._task.cancel()

    async def unless(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result; None if it was asked to stop, by then or meanwhile: then it was not begun or it was cancelled."""
        if self.asked:
            work.close()  # not cancelled: work that never waits would end, and the next await be cancelled in its place
            return None
        task = asyncio.current_task()
        assert task
        self._task = task
        try:
            return await work
        except asyncio.CancelledError:
            if not self.asked or task.uncancel():
                raise  # by somebody else, or also by somebody else
            return None
        finally:
            self._task = None
