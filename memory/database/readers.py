"""A few read-only connections, opened when first needed and used by one caller at a time."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiosqlite


class Readers:
    def __init__(self, open_connection: Callable[[], sqlite3.Connection], most: int) -> None:
        self._open = open_connection
        self._slots = asyncio.Semaphore(most)
        self._most = most
        self._free: list[aiosqlite.Connection] = []
        self._closed = False

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
                await asyncio.shield(connection.close())
                raise
            if self._closed:
                await connection.close()
            else:
                self._free.append(connection)

    async def _opened(self) -> aiosqlite.Connection:
        """What opens for a cancelled caller is closed again: aiosqlite would forget it, open."""
        opening = asyncio.create_task(_open(aiosqlite.Connection(self._open, iter_chunk_size=64)))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.shield(_close(opening))
            raise

    async def close(self) -> None:
        """Waits for those that are lent."""
        self._closed = True
        for _ in range(self._most):
            await self._slots.acquire()
        while self._free:
            await self._free.pop().close()
        for _ in range(self._most):
            self._slots.release()


async def _open(connection: aiosqlite.Connection) -> aiosqlite.Connection:
    return await connection


async def _close(opening: asyncio.Task[aiosqlite.Connection]) -> None:
    with contextlib.suppress(sqlite3.Error, OSError):  # there was nothing to open
        await (await opening).close()
