"""Gives every memory a vector of the present embedding model, when nobody waits for the processor."""

from __future__ import annotations

import asyncio
import logging

from mongarsd.ground.errors import Busy, DoesNotFit, InvalidModel, ModelNotFound, MongarsError, StorageUnavailable
from mongarsd.memory.database.database import Database
from mongarsd.memory.recall import codec, rows
from mongarsd.memory.recall.codec import Coded
from mongarsd.memory.recall.indexes import Indexes
from mongarsd.memory.recall.rows import Waiting
from mongarsd.memory.recall.types import Embed, Model
from mongarsd.memory.recall.vectors import encoded, vectors
from mongarsd.memory.steps import Steps

log = logging.getLogger(__name__)

#: Texts a job. Small, so that a question that arrives meanwhile soon has its turn.
BATCH = 16
#: Batches until what waits is counted again: that looks at all of it.
COUNT = 64

#: The machine is in the way, not the text.
_LATER = (Busy, DoesNotFit, ModelNotFound, StorageUnavailable)


class Embedding(Steps):
    """`waiting`, `done` and `trouble` say how it goes."""

    def __init__(self, database: Database, indexes: Indexes, embed: Embed, model: Model) -> None:
        super().__init__("memories are found by their words alone", rest=indexes.trim)
        self._database, self._indexes = database, indexes
        self._embed, self._model = embed, model
        self.waiting = 0
        self._uncounted = 0  # batches until the next count
        self.done = 0  # since the start

    async def step(self) -> bool:
        """Embed one batch; False = nothing waits, or there is no model. Raises MongarsError."""
        model = self._model()
        async with self._database.reader() as reader:
            known = await rows.embedder(reader, model)
            number = known[0] if known else 0
            if self._uncounted <= 0:
                self.waiting, self._uncounted = await rows.count_waiting(reader, number), COUNT
            batch = await rows.waiting(reader, number, BATCH) if model else []
        if not batch:
            self._uncounted = 0
            return False
        found = await vectors(self._embed, [row.text for row in batch], later=_LATER, refused=_refused)
        if self._model() != model:
            return True  # nobody knows which of the two made them
        coded = await asyncio.to_thread(encoded, found)
        await self._store(model, known[1] if known else 0, list(zip(batch, coded, strict=True)))
        self.done += len(batch)
        self.waiting = max(self.waiting - len(batch), 0)
        self._uncounted -= 1
        return True

    async def _store(self, model: str, known: int, done: list[tuple[Waiting, Coded | None]]) -> None:
        """`known`: the model's dimensions, if it made a vector before."""
        dimensions = next((len(coded.numbers) - codec.HEADER for _, coded in done if coded), known)
        if not dimensions:
            raise InvalidModel(f"the embedding model failed with each of {len(done)} texts; choose another")
        number, stored = await self._database.write(lambda connection: rows.store(connection, model, dimensions, done))
        for row, coded in stored:
            self._indexes.change(row.account, number, [(row.number, coded.bits if coded else None)])


def _refused(error: MongarsError) -> None:
    log.warning("a memory cannot be embedded (%s): it is found by its words alone", error.code)
