"""Gives files their chunks and chunks their vectors, when nobody waits for the processor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from functools import partial

from mongarsd.ground.errors import (
    Busy,
    DoesNotFit,
    InvalidModel,
    ModelNotFound,
    MongarsError,
    NotFound,
    StorageUnavailable,
)
from mongarsd.memory.database.database import Database
from mongarsd.memory.documents import rows
from mongarsd.memory.documents.blobs import Blobs
from mongarsd.memory.documents.reading import read_chunks
from mongarsd.memory.documents.rows import Uncut, Waiting
from mongarsd.memory.documents.structure import Unreadable
from mongarsd.memory.documents.types import Fault
from mongarsd.memory.recall import codec
from mongarsd.memory.recall.codec import Coded
from mongarsd.memory.recall.indexes import Indexes
from mongarsd.memory.recall.rows import embedder, ensure_embedder
from mongarsd.memory.recall.types import Embed, Model
from mongarsd.memory.recall.vectors import encoded, vectors
from mongarsd.memory.steps import Steps

log = logging.getLogger(__name__)

#: Texts a job. Small, so that a question that arrives meanwhile soon has its turn.
BATCH = 16
#: The machine is in the way, not the text.
_LATER = (Busy, DoesNotFit, InvalidModel, ModelNotFound, StorageUnavailable)


class Indexing(Steps):
    """What it has done is in the database: it goes on there after a restart."""

    def __init__(self, database: Database, blobs: Blobs, indexes: Indexes, embed: Embed, model: Model) -> None:
        super().__init__("documents wait", rest=indexes.trim)
        self._database, self._blobs, self._indexes = database, blobs, indexes
        self._embed, self._model = embed, model
        self.read = self.embedded = 0  # files and chunks since the start

    async def step(self) -> bool:
        """Cut one file, else embed one batch; False = nothing waits. Raises MongarsError, OSError."""
        async with self._database.reader() as reader:
            uncut = await rows.next_uncut(reader)
        if uncut:
            await self._cut(uncut)
            return True
        try:
            more = await self._embed_some()
        except (Busy, StorageUnavailable):
            raise  # soon it will be possible
        except MongarsError:
            await self._complete(by_words=True)  # a client that waits for its file need not wait for a model
            raise
        if not more:
            await self._complete(by_words=True)
        return more

    async def _cut(self, file: Uncut) -> None:
        entry = file.entry
        await self._database.write(partial(rows.clear, entry=entry))
        try:
            path = self._blobs.path(file.file)
            if not await asyncio.to_thread(path.exists):
                raise NotFound("its contents are gone from the state directory: upload it again")
            reading = read_chunks(path, file.filename, most=file.most, overlap=file.overlap)
            async with contextlib.aclosing(reading):
                async for chunks in reading:
                    if not await self._database.write(partial(rows.add, entry=entry, chunks=chunks)):
                        return
        except Unreadable as error:
            code: Fault = "invalid_file" if error.supported else "unsupported_file"
            await self._database.write(partial(rows.fail, entry=entry, code=code, message=str(error)))
        except NotFound as error:
            await self._database.write(partial(rows.fail, entry=entry, code="server_error", message=error.message))
        else:
            await self._database.write(partial(rows.finish, entry=entry))
        self.read += 1

    async def _embed_some(self) -> bool:
        """One batch; False = nothing waits, or there is no model."""
        if not (model := self._model()):
            return False
        async with self._database.reader() as reader:
            known = await embedder(reader, model)
            batch = await rows.waiting(reader, known[0] if known else 0, BATCH)
        if not batch:
            return False

        def refused(error: MongarsError) -> None:
            if known is None:  # nobody has seen the model work: it may not be the text's fault
                raise error
            log.warning("a chunk cannot be embedded (%s): it is found by its words alone", error.code)

        found = await vectors(self._embed, [row.words for row in batch], later=_LATER, refused=refused)
        if self._model() != model:
            return True  # nobody knows which of the two made them
        coded = await asyncio.to_thread(encoded, found)
        await self._store(model, known[1] if known else 0, list(zip(batch, coded, strict=True)))
        return True

    async def _store(self, model: str, known: int, done: list[tuple[Waiting, Coded | None]]) -> None:
        """`known`: the model's dimensions, if it made a vector before."""
        dimensions = next((len(coded.numbers) - codec.HEADER for _, coded in done if coded), known)

        def work(connection: sqlite3.Connection) -> tuple[int, list[tuple[Waiting, Coded | None]]]:
            number = ensure_embedder(connection, model, dimensions)
            stored = rows.embedded(connection, number, done)
            rows.complete(connection, by_words=False)
            return number, stored

        number, stored = await self._database.write(work)
        for row, coded in stored:
            self._indexes.change(str(row.store), number, [(row.number, coded.bits if coded else None)])
        self.embedded += len(stored)

    async def _complete(self, *, by_words: bool) -> None:
        async with self._database.reader() as reader:
            if not await rows.uncompleted(reader):
                return
        await self._database.write(partial(rows.complete, by_words=by_words))
