"""Summaries of long conversations: written in idle time, and told in the place of what a context cannot hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mongarsd.ground.metrics import Metrics
from mongarsd.memory.conversations.types import Turn
from mongarsd.memory.database.database import Database
from mongarsd.memory.summaries import store
from mongarsd.memory.summaries.types import Carried, Summarise
from mongarsd.memory.summaries.writer import Writer


class Summaries:
    def __init__(self, database: Database, summarise: Summarise, wanted: Callable[[], bool], metrics: Metrics) -> None:
        self._database = database
        self._writer = Writer(database, summarise, wanted)
        self.call = self._writer.call
        self.run = self._writer.run
        made = metrics.gauge("mongarsd_memory_summaries_written", "Summaries of conversations since the start.")
        made.source = lambda: {(): self._writer.written}

    async def carry(self, account: str, turns: Sequence[Turn]) -> Carried | None:
        """What stands for the first of these `turns`, which are in order and of one conversation. None = nothing: no
        summary was written yet, or it knows more than these turns say. Raises StorageUnavailable."""
        if not turns:
            return None
        async with self._database.reader() as reader:
            found = await store.of(reader, account, turns[0].conversation)
        if found is None or not turns[0].number <= found.through <= turns[-1].number:
            return None
        return Carried(found.text, sum(turn.number <= found.through for turn in turns))

    async def count(self) -> int:
        """Raises StorageUnavailable."""
        async with self._database.reader() as reader:
            return await store.count(reader)
