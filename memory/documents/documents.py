"""The door to documents: files, the stores they are searched in, and the search."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import StorageUnavailable
from mongarsd.ground.metrics import Labels, Metrics
from mongarsd.ground.settings import DocumentSettings
from mongarsd.memory.database.database import Database
from mongarsd.memory.documents import rows
from mongarsd.memory.documents.blobs import Blobs
from mongarsd.memory.documents.files import Files
from mongarsd.memory.documents.indexing import Indexing
from mongarsd.memory.documents.search import Search
from mongarsd.memory.documents.stores import Stores
from mongarsd.memory.recall.indexes import Indexes
from mongarsd.memory.recall.types import Embed, Model
from mongarsd.memory.steps import RETRY

FOLDER = "files"


class Documents:
    """`run()` is a background task. Every verb takes the account, and none sees another's."""

    def __init__(
        self,
        state: Path,
        database: Database,
        clock: Clock,
        embed: Embed,
        model: Model,
        settings: Callable[[], DocumentSettings],
        metrics: Metrics,
    ) -> None:
        blobs = Blobs(state / FOLDER)
        indexes = Indexes(database, clock, signs=rows.signs)
        self.indexing = Indexing(database, blobs, indexes, embed, model)
        self._indexes = indexes

        def removed(stores: Iterable[int]) -> None:
            for store in stores:
                indexes.drop(str(store))

        self.files = Files(database, blobs, clock, settings, removed)
        self.stores = Stores(database, clock, self.indexing.call, removed)
        self.search = Search(database, clock, indexes, embed, model)
        figures: tuple[tuple[str, str, Callable[[], float]], ...] = (
            (
                "files_read_total",
                "Files cut into chunks, or found unreadable, since the start.",
                lambda: self.indexing.read,
            ),
            ("embedded_total", "Vectors made for chunks since the start.", lambda: self.indexing.embedded),
            ("index_bytes", "Signs of chunks' vectors in RAM.", lambda: indexes.size),
            ("index_hits", "Searches whose store's index was in RAM.", lambda: indexes.hits),
            ("index_misses", "Searches that read it from the file.", lambda: indexes.misses),
            ("index_evictions", "Indexes dropped: idle for long, or too many.", lambda: indexes.evictions),
        )
        for name, about, read in figures:
            metrics.gauge(f"mongarsd_documents_{name}", about).source = _alone(read)

    def reset(self) -> None:
        """The database is another one."""
        self._indexes.clear()
        self.indexing.call()

    async def run(self) -> None:
        """Settle what was under way when the daemon last ended, then index, for ever."""
        while True:
            try:
                await self.files.settle()
                break
            except (StorageUnavailable, OSError):
                await asyncio.sleep(RETRY)
        await self.indexing.run()


def _alone(read: Callable[[], float]) -> Callable[[], dict[Labels, float]]:
    return lambda: {(): read()}
