"""The room as the daemon sees it: one database, and what is kept in it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import Busy, MongarsError, NotFound, StorageUnavailable
from mongarsd.ground.metrics import Metrics
from mongarsd.ground.settings import DocumentSettings, MemorySettings
from mongarsd.ground.status import BackupFile, MemoryStatus
from mongarsd.ground.tasks import OnDeath, Tasks
from mongarsd.memory.access.access import FLUSH, Access
from mongarsd.memory.access.audit import Audit
from mongarsd.memory.accounts import Accounts
from mongarsd.memory.conversations.completions import Completions
from mongarsd.memory.conversations.responses import Responses
from mongarsd.memory.conversations.store import Conversations
from mongarsd.memory.database import backups, files
from mongarsd.memory.database.database import Database
from mongarsd.memory.documents.documents import Documents
from mongarsd.memory.housekeeping import Housekeeping
from mongarsd.memory.recall.recall import Recall
from mongarsd.memory.recall.types import Embed, Model, no_model, no_vectors
from mongarsd.memory.summaries.summaries import Summaries
from mongarsd.memory.summaries.types import Nobody, Summarise

log = logging.getLogger(__name__)

FILE = "mongars.db"
#: Seconds between two tries to open a file that cannot be opened: its disk is full, it is being repaired.
RETRY = 30.0


class Memory:
    """`start()`, `begin()`, `close()`. Everything else may be called before: it raises StorageUnavailable."""

    def __init__(
        self,
        state: Path,
        clock: Clock,
        *,
        settings: Callable[[], MemorySettings] = MemorySettings,
        documents: Callable[[], DocumentSettings] = DocumentSettings,
        metrics: Metrics | None = None,
        on_death: OnDeath | None = None,
        embed: Embed = no_vectors,
        model: Model = no_model,
        summarise: Summarise | None = None,
    ) -> None:
        """`embed` turns texts into vectors, `model` names who does it; without them recall goes by words alone.
        `summarise` writes summaries of long conversations."""
        self.database = Database(state / FILE, clock=clock)
        self._clock = clock
        self._tasks = Tasks("memory", on_death)
        self._opening = asyncio.Lock()
        self._tried = asyncio.Event()
        self._house = Housekeeping(
            self.database, clock, at=lambda: settings().backup_at, keep=lambda: settings().backups
        )
        self.accounts = Accounts(self.database, clock)
        self.access = Access(state, self.database, clock)
        self.audit = Audit(self.database)
        self.conversations = Conversations(self.database, clock)
        self.completions = Completions(self.database, clock)
        metrics = metrics or Metrics()
        self.summaries = Summaries(self.database, summarise or Nobody(), lambda: settings().summaries, metrics)
        self.responses = Responses(self.database, clock, grown=self.summaries.call)
        self._measure(metrics)
        self.recall = Recall(self.database, clock, embed, model, metrics)
        self.documents = Documents(state, self.database, clock, embed, model, documents, metrics)

    async def start(self) -> None:
        """Raises StorageUnavailable."""
        await self.database.start()
        await self._load()

    def begin(self) -> None:
        """Open the file, again and again if it cannot be opened, and keep house."""
        self._tasks.spawn("open", self._keep_open())
        self._tasks.spawn("housekeeping", self._house.run())
        self._tasks.spawn("eraser", self.database.eraser.run())
        self._tasks.spawn("documents", self.documents.run())
        self._tasks.spawn("recall", self.recall.run())
        self._tasks.spawn("summaries", self.summaries.run())
        self._tasks.spawn("access", self._keep_used())

    async def opened(self, seconds: float) -> None:
        """Wait for the first try to open the file, this long at most."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), seconds)

    async def close(self) -> None:
        """Idempotent."""
        await self._tasks.close()
        if self.database.open:
            with contextlib.suppress(MongarsError):  # only when keys were used last
                await self.access.flush()
            with contextlib.suppress(MongarsError):  # the next start does it
                await self.database.eraser.now()
        await self.database.close()

    def warnings(self) -> list[str]:
        """What the owner should know; each goes when its cause is gone."""
        trouble = self.database.trouble
        aside = (
            f"a damaged database was put aside as {path}, and the newest good backup took over: "
            "delete that file when you no longer need it"
            for path in files.put_away(self.database.path)
        )
        astray = self.database.astray and (
            f"{self.database.path} was removed or replaced while it was open: what is stored now will be lost; "
            "restart mongarsd, and copy backups back with `mongarsctl memory restore`"
        )
        told = (trouble and f"nothing is stored: {trouble}", astray, self.access.warning, self._house.trouble, *aside)
        return [text for text in told if text]

    async def backup(self) -> BackupFile:
        """Raises StorageUnavailable and its kinds."""
        return _file(await self._house.backup())

    async def restore(self, name: str) -> BackupFile:
        """Put a backup in the place of the file, which is kept beside it. Raises NotFound, DatabaseDamaged,
        DatabaseRefused; then nothing has changed."""
        known = {path.name: path for path in backups.listed(self._backups)}
        if name not in known:
            raise NotFound(f"there is no backup {name[:80]!r}; there are: {', '.join(known) or 'none'}", param="name")
        await asyncio.to_thread(self.database.accept, known[name])
        async with self._opening:
            await self.database.close()
            await asyncio.to_thread(self._replace, known[name])
            await self.database.start()
            await self._load()
            self.recall.reset()
            self.documents.reset()
            self.database.eraser.call()
        return _file(known[name])

    async def check(self) -> None:
        """Read all of the file. Raises DatabaseDamaged, StorageUnavailable."""
        if not self.database.open:
            raise StorageUnavailable(self.database.trouble)
        await asyncio.to_thread(backups.prove, self.database.path)

    async def status(self) -> MemoryStatus:
        """Counts are 0 while the file is not open."""
        database = self.database
        conversations = turns = summaries = 0
        if database.open:
            async with database.reader() as reader:
                ((conversations, turns),) = await reader.execute_fetchall(
                    "SELECT count(*), coalesce(sum(turns), 0) FROM conversations"
                )
            summaries = await self.summaries.count()
        return MemoryStatus(
            path=str(database.path),
            bytes=database.path.stat().st_size if database.path.exists() else 0,
            schema=database.schema,
            conversations=conversations,
            turns=turns,
            summaries=summaries,
            writes=database.writes,
            commits=database.commits,
            backups=tuple(_file(path) for path in backups.listed(self._backups)),
            warnings=tuple(self.warnings()),
        )

    def _measure(self, metrics: Metrics) -> None:
        database = self.database
        writes = metrics.gauge("mongarsd_database_writes", "Writes since the start.")
        commits = metrics.gauge("mongarsd_database_commits", "Commits since the start: writes that waited share one.")
        stores = metrics.gauge("mongarsd_database_stores", "1 = it stores; 0 = `mongarsctl status` says why not.")
        writes.source = lambda: {(): database.writes}
        commits.source = lambda: {(): database.commits}
        erasing = metrics.gauge("mongarsd_database_erasing", "1 = words of what was deleted are still in the indexes.")
        erasing.source = lambda: {(): 1.0 if database.eraser.waiting else 0.0}
        stores.source = lambda: {(): 0.0 if database.trouble else 1.0}

    @property
    def _backups(self) -> Path:
        return self.database.path.parent / backups.DIRECTORY

    def _replace(self, backup: Path) -> None:
        path = self.database.path
        if path.exists():
            aside = files.put_aside(path, self._clock.wall(), files.REPLACED)
            log.warning("the database is kept as %s; %s takes its place", aside, backup)
        backups.install(backup, path)

    async def _load(self) -> None:
        """What every request asks for is in RAM."""
        await self.access.load()
        await self.accounts.load()

    async def _keep_used(self) -> None:
        while True:
            await asyncio.sleep(FLUSH)
            if self.database.open:
                with contextlib.suppress(StorageUnavailable, Busy):  # tried again
                    await self.access.flush()

    async def _keep_open(self) -> None:
        while True:
            async with self._opening:
                if not self.database.open:
                    with contextlib.suppress(StorageUnavailable):  # logged, and told by `warnings`
                        await self.database.start()
                        self.documents.indexing.call()
                        self.database.eraser.call()
                if self.database.open and not self.access.known:
                    with contextlib.suppress(StorageUnavailable):
                        await self._load()
            self._tried.set()
            await asyncio.sleep(RETRY)


def _file(path: Path) -> BackupFile:
    found = path.stat()
    return BackupFile(name=path.name, bytes=found.st_size, made=found.st_mtime)
