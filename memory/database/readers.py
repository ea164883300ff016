"""A few read-only connections, opened when first needed and used by one caller at a time."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiosqlite


class Readers:
    def __init__(self, open_connection: Callable[[], sqlite3.Connection], most: int) -> None:
        self._open = open_connection
        self._slots = asyncio.Semaphore(most)
        self._most = most
        self._free: list[aiosqlite.Connection] = []
        self._closed = False
        self._busy: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[aiosqlite.Connection]:
        """One transaction's view: all that is read inside is of the same moment."""
        async with self._slots:
            connection = self._free.pop() if self._free else await self._opened()
            try:
                await connection.execute("BEGIN")
                yield connection
                await connection.execute("COMMIT")
            except BaseException:
                # A cancelled caller's statement may still run there: the connection is not lent again.
                await self._whole(connection.close())
                raise
            if self._closed:
                await self._whole(connection.close())
            else:
                self._free.append(connection)

    async def close(self) -> None:
        """Waits for those that are lent, and for those that still open or close for callers who are gone."""
        self._closed = True
        for _ in range(self._most):
            await self._slots.acquire()
        while self._busy:
            await asyncio.wait(self._busy)
        while self._free:
            await self._free.pop().close()
        for _ in range(self._most):
            self._slots.release()

    async def _opened(self) -> aiosqlite.Connection:
        """What opens for a cancelled caller is closed again: aiosqlite would forget it, open."""
        opening = asyncio.create_task(_open(_Reader(self._open, iter_chunk_size=64)))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await self._whole(_close(opening))
            raise

    async def _whole(self, step: Coroutine[Any, Any, None]) -> None:
        """A caller who is cancelled once more does not end it."""
        task = asyncio.create_task(step)
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)
        await asyncio.shield(task)


class _Reader(aiosqlite.Connection):
    """One whose thread can be waited for where it could not be opened: it tells the event loop of its end."""

    ended: asyncio.Future[Any] | None = None

    def stop(self) -> asyncio.Future[Any] | None:
        self.ended = super().stop()
        return self.ended


async def _open(connection: _Reader) -> aiosqlite.Connection:
    try:
        return await connection
    except BaseException:
        if connection.ended:
            await connection.ended
        raise


async def _close(opening: asyncio.Task[aiosqlite.Connection]) -> None:
    with contextlib.suppress(sqlite3.Error, OSError):  # there was nothing to open
        await (await opening).close()
