"""What happens by itself: a backup each night, retention each hour, and opening again what could not be opened."""

from __future__ import annotations

import asyncio
import datetime
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import MongarsError, StorageUnavailable
from mongarsd.memory.conversations.retention import retain
from mongarsd.memory.database import backups
from mongarsd.memory.database.connect import translate
from mongarsd.memory.database.database import Database

log = logging.getLogger(__name__)

#: Seconds between two looks at what is due. Short, because boards without a clock of their own jump when NTP answers.
LOOK = 60.0
#: Seconds after the start before anything is done: the board has other things to do then.
SETTLE = 300.0
HOUR = 3600.0


def due(now: float, last: float, at: str) -> bool:
    """Has the time of day `at` ("HH:MM", local; "" = never) passed since `last`? Catches up what a night without
    power missed. `last` in the future means that the clock was wrong: then it is due."""
    if not at:
        return False
    today = datetime.datetime.fromtimestamp(now).astimezone()
    hour, minute = map(int, at.split(":"))
    scheduled = today.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if scheduled > today:
        scheduled -= datetime.timedelta(days=1)
    return last > now or last < scheduled.timestamp()


class Housekeeping:
    """`run()` never returns. `trouble`: why the last backup failed, or ""."""

    def __init__(self, database: Database, clock: Clock, *, at: Callable[[], str], keep: Callable[[], int]) -> None:
        self._database, self._clock, self._at, self._keep = database, clock, at, keep
        self._directory = database.path.parent / backups.DIRECTORY
        self._looked = 0.0  # wall time when a backup was last made, or found to be needless
        self._retained = clock.monotonic()
        self._making = asyncio.Lock()
        self.trouble = ""

    async def run(self) -> None:
        await asyncio.sleep(SETTLE)
        while True:
            await self.look()
            await asyncio.sleep(LOOK)

    async def look(self) -> None:
        """Do what is due. A failure is logged, told in `trouble`, and tried again at the next time."""
        if self._clock.monotonic() - self._retained >= HOUR:
            self._retained = self._clock.monotonic()
            try:
                if gone := await retain(self._database, self._clock.wall()):
                    log.info("retention: %d conversations went", gone)
            except MongarsError as error:
                log.warning("retention: %s", error.message)
        try:
            if self._wanted():
                await self.backup()
        except MongarsError as error:
            log.error("the backup failed: %s", error.message)
        except OSError as error:  # a card that fails is no reason to end
            words = f"the backups cannot be read: {error}"
            if self.trouble != words:
                log.error("%s", words)
            self.trouble = words

    async def backup(self) -> Path:
        """Now. Raises StorageFull, DatabaseDamaged, StorageUnavailable, Busy."""
        async with self._making:
            try:
                if self._database.open:
                    await self._database.eraser.now()  # a backup outlives what was deleted
                made = await asyncio.to_thread(self._make)
            except MongarsError as error:
                self.trouble = f"the last backup failed: {error.message}"
                raise
        self.trouble = ""
        log.info("backup: %s, %d bytes", made, made.stat().st_size)
        return made

    def _make(self) -> Path:
        now = self._clock.wall()
        target = self._directory / backups.name(now)
        try:
            backups.settle_times(self._directory, now)
            if not self._database.open:
                raise StorageUnavailable(self._database.trouble)
            with closing(self._database.separate()) as connection:
                made = backups.make(connection, target)
            backups.prune(self._directory, self._keep())
        except (sqlite3.Error, OSError) as error:
            raise translate(error, target) or error from error
        return made

    def _wanted(self) -> bool:
        """It is time, and something was written since the newest one. Raises OSError."""
        now, newest = self._clock.wall(), backups.listed(self._directory)
        last = max(self._looked, newest[0].stat().st_mtime if newest else 0.0)
        if not due(now, last, self._at()):
            return False
        self._looked = now
        return not self._unchanged(newest)

    def _unchanged(self, newest: tuple[Path, ...]) -> bool:
        """Not a byte was written since the newest backup."""
        if not newest:
            return False
        path = self._database.path
        log_file = path.with_name(path.name + "-wal")
        written = [file.stat().st_mtime_ns for file in (path, log_file) if file.exists() and file.stat().st_size]
        made = newest[0].stat().st_mtime_ns
        return bool(written) and max(written) < made <= self._clock.wall() * 1e9
