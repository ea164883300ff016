"""True deletion: what was deleted is in no byte of the file any more, indexes included.

secure_delete overwrites rows at once. FTS5 only notes a deletion, and keeps the words until it merges what they stand
in. Merging everything takes 0.4 s for 100,000 turns, so deletions that come together share it, a moment later; the file
itself remembers that it is due. (FTS5's own `secure-delete` needs SQLite 3.42, bookworm has 3.40.)
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from functools import partial
from typing import Protocol

from mongarsd.ground.errors import Busy, StorageUnavailable
from mongarsd.memory.database.connect import BUSY
from mongarsd.memory.database.writer import T, Work

log = logging.getLogger(__name__)

#: Seconds in which further deletions may join.
GATHER = 1.0
#: Seconds until the next try when the disk is full or somebody reads the log, and between two looks without a call.
RETRY, LOOK = 5.0, 60.0
#: Milliseconds to wait for readers of the log. No turn can be stored meanwhile, and a backup reads for long.
PATIENCE = 200

_INDEXES = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE % USING fts5 %' ORDER BY name"


def erase(connection: sqlite3.Connection) -> None:
    """Part of a write, after its deletions; then `Database.checkpoint()`, because the log has the old pages too."""
    connection.execute("UPDATE erasures SET asked = asked + 1")


class _File(Protocol):
    @property
    def open(self) -> bool: ...

    async def write(self, work: Work[T]) -> T: ...

    async def alone(self, work: Work[T]) -> T: ...


class Eraser:
    """`run()` is a background task, `now()` does what is due."""

    def __init__(self, file: _File) -> None:
        self._file = file
        self._call = asyncio.Event()
        self._one = asyncio.Lock()
        self.waiting = False  # as far as is known

    def call(self) -> None:
        """Something was deleted, or the file was opened."""
        self._call.set()

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(RETRY if self.waiting else LOOK):
                    await self._call.wait()
            except TimeoutError:
                pass
            else:
                await asyncio.sleep(GATHER)
            self._call.clear()
            if not self._file.open:
                continue
            try:
                await self.now()
            except (StorageUnavailable, Busy) as error:
                log.warning("what was deleted is not erased yet: %s", error.message)

    async def now(self) -> None:
        """When this returns, of what was deleted before nothing is left, in the log neither unless `waiting` says so:
        then a backup reads it. Raises StorageUnavailable, Busy."""
        async with self._one:
            asked, done = await self._file.alone(_state)
            self.waiting = asked > done
            if not self.waiting:
                return
            for index in await self._file.alone(_indexes):
                await self._file.write(partial(_merge, index))
            if await self._file.alone(empty_log):
                await self._file.write(lambda connection: connection.execute("UPDATE erasures SET done = ?", (asked,)))
                self.waiting = False


def empty_log(connection: sqlite3.Connection) -> bool:
    """Outside of a transaction. False when a reader still needs it."""
    connection.execute(f"PRAGMA busy_timeout = {PATIENCE}")
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY * 1000)}")
    return not busy


def _state(connection: sqlite3.Connection) -> tuple[int, int]:
    asked, done = connection.execute("SELECT asked, done FROM erasures").fetchone()
    return asked, done


def _indexes(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute(_INDEXES)]


def _merge(index: str, connection: sqlite3.Connection) -> None:
    connection.execute(f"INSERT INTO {index} ({index}) VALUES ('optimize')")  # noqa: S608 - a name of our own schema
