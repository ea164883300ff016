"""Checks that take plain Python many milliseconds, beside the event loop: others are answered meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Aside:
    """One thread: the interpreter takes its lock from it after 5 ms and gives it to the loop. Several would take turns
    with each other first."""

    def __init__(self) -> None:
        self._thread: Executor | None = None

    async def __call__(self, long: bool, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns or raises; in the thread if it may take `long`, which costs 0.1 ms (x86)."""
        if not long:
            return function(*args, **kwargs)
        if self._thread is None:
            from concurrent.futures import ThreadPoolExecutor  # no idle daemon needs it

            self._thread = ThreadPoolExecutor(1, "aside")
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args, **kwargs))
