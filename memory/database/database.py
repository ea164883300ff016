"""The one file of the node, open: `write()` through the one writer, `reader()` for everything else."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiosqlite

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import DatabaseDamaged, StorageUnavailable
from mongarsd.memory.database import backups, files
from mongarsd.memory.database.connect import Connect, connect, open_reader, open_writer, translate
from mongarsd.memory.database.erase import Eraser, empty_log
from mongarsd.memory.database.migrate import Migration, load_migrations, migrate
from mongarsd.memory.database.readers import Readers
from mongarsd.memory.database.writer import T, Work, Writer

log = logging.getLogger(__name__)

READERS = 2
QUEUE = 1024  # calls that may wait for the disk


class Database:
    """`start()`, `close()`, and again. `trouble`: why nothing is stored now, or ""."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        connect: Connect = connect,
        migrations: Sequence[Migration] | None = None,
        readers: int = READERS,
        queue: int = QUEUE,
    ) -> None:
        self.path = path
        self.trouble = "the database is not open"
        self._damaged = False
        self._file: tuple[int, int] | None = None  # that was opened
        self._clock = clock
        self._connect = connect
        self._migrations = load_migrations() if migrations is None else tuple(migrations)
        self._most = readers, queue
        self.eraser = Eraser(self)
        self._prepare()

    def _prepare(self) -> None:
        readers, queue = self._most
        self._writer = Writer(self._open, queue=queue)
        self._readers = Readers(partial(open_reader, self.path, self._connect), readers)

    @property
    def open(self) -> bool:
        return self._writer.open

    @property
    def astray(self) -> bool:
        """Open, but no longer what lies at `path`: what is stored now will be lost."""
        return self.open and files.identity(self.path) != self._file

    @property
    def commits(self) -> int:
        """Transactions so far, and so fsyncs of acknowledged writes."""
        return self._writer.commits

    @property
    def writes(self) -> int:
        """Calls of `write` so far."""
        return self._writer.writes

    @property
    def schema(self) -> int:
        return len(self._migrations)

    def accept(self, backup: Path) -> None:
        """Could this file take over? Reads all of it. Raises DatabaseDamaged, DatabaseRefused."""
        backups.accept(backup, self._migrations)

    async def start(self) -> None:
        """Check after an unclean stop, put a damaged file aside for the newest good backup, bring the schema up to
        date. Raises StorageUnavailable; the file is then as it was."""
        try:
            await self._writer.start()
        except (sqlite3.Error, OSError) as error:
            self._prepare()
            known = translate(error, self.path) or StorageUnavailable(f"{self.path} cannot be opened: {error}")
            self._told(known)
            raise known from error
        except StorageUnavailable as error:
            self._prepare()
            self._told(error)
            raise
        self.trouble = ""
        self._damaged = False

    async def close(self) -> None:
        """Idempotent. What was handed to `write` before is stored."""
        await self._readers.close()  # before the writer: the last connection to close moves the log into the file
        clean = self.open and not self._damaged
        await self._writer.close()
        if clean:
            files.unmark(self.path)
        self._prepare()
        self.trouble = "the database is closed"

    async def write(self, work: Work[T]) -> T:
        """Run `work` on the writer's thread; returns when its changes are on disk. What it raises takes back what it
        wrote, and only that. It must neither commit nor keep the connection. Raises StorageUnavailable and Busy."""
        return await self._run(work, alone=False)

    async def alone(self, work: Work[T]) -> T:
        """The same outside of a transaction, for what SQLite allows only there."""
        return await self._run(work, alone=True)

    def separate(self) -> sqlite3.Connection:
        """For a backup: reads beside the writer for as long as it takes, in a thread of the caller's."""
        return self._connect(self.path, "mode=ro")

    async def checkpoint(self) -> None:
        """After a deletion: move the log into the file and empty it, so that no deleted row remains in the log. Its
        words in the indexes go soon after."""
        self.eraser.call()
        await self.alone(empty_log)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[aiosqlite.Connection]:
        """All that is read inside is of one moment. Waits for a free one. Raises StorageUnavailable."""
        if not self.open:
            raise StorageUnavailable(self.trouble or "the database is not open")
        try:
            async with self._readers.lend() as connection:
                yield connection
        except sqlite3.Error as error:
            raise self._translated(error) from error

    async def _run(self, work: Work[T], *, alone: bool) -> T:
        try:
            result = await self._writer.run(work, alone=alone)
        except sqlite3.Error as error:
            raise self._translated(error) from error
        if self.trouble and not alone:
            log.info("the database stores again")
            self.trouble = ""
        return result

    def _translated(self, error: sqlite3.Error | OSError) -> Exception:
        known = translate(error, self.path)
        if known is None:
            return error
        self._told(known)
        return known

    def _told(self, error: StorageUnavailable) -> None:
        if self.trouble != error.message:
            log.error("%s", error.message)
        self.trouble = error.message
        self._damaged = self._damaged or isinstance(error, DatabaseDamaged)

    def _open(self) -> sqlite3.Connection:
        """On the writer's thread."""
        files.refuse_unwritable(self.path)
        if unclean := files.unclean(self.path):
            log.warning("the database was not closed (%s): checking it", unclean)
            self._recover()
        connection = open_writer(self.path, self._connect)
        try:
            migrate(connection, self._migrations, lambda version: self._copy(connection, version))
            files.mark(self.path)
            self._file = files.identity(self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _recover(self) -> None:
        emptied = files.emptied(self.path) and backups.listed(self.path.parent / backups.DIRECTORY)
        try:
            if emptied:
                raise DatabaseDamaged("it has lost every byte")
            with contextlib.closing(open_writer(self.path, self._connect)) as connection:
                backups.check(connection, "quick_check")
        except DatabaseDamaged as error:
            reason = error.message
        except sqlite3.DatabaseError as error:
            if not isinstance(translate(error, self.path), DatabaseDamaged):
                raise
            reason = str(error)
        else:
            return
        aside = files.put_aside(self.path, self._clock.wall())
        log.error("the database was damaged (%s); it is kept as %s", reason, aside)
        backups.take_over(self.path, self._migrations)

    def _copy(self, connection: sqlite3.Connection, version: int) -> None:
        backups.make(connection, self.path.parent / backups.DIRECTORY / backups.before(version))
