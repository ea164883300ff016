"""Blocking work in threads, in pieces short enough that a cancellation does not wait long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Bytes read, hashed or written at once. Every thread's allocator keeps what it once had: after a pull of the default
#: model the daemon holds 6 MB more with pieces of 256 KiB, 13 with 1 MiB, 41 with 4 MiB, at the same speed.
PIECE = 256 * 1024


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Like asyncio.to_thread, but a cancelled caller waits for the piece under way: nobody closes a file under it."""
    future = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # seen: it must not be reported as lost
        raise


async def to_the_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same, but a cancellation comes too late and is ignored: for a last short step that cannot be half done."""
    future = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    return future.result()
