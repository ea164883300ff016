"""Passages of stores, found by words (FTS5) and by meaning (vectors), merged by reciprocal rank."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

import aiosqlite
import msgspec

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import MongarsError
from mongarsd.ground.job import Priority
from mongarsd.memory.database.database import Database
from mongarsd.memory.documents import rows
from mongarsd.memory.documents.filters import Test
from mongarsd.memory.documents.stores import number
from mongarsd.memory.documents.types import Passage
from mongarsd.memory.recall import codec, words
from mongarsd.memory.recall.fusion import fuse
from mongarsd.memory.recall.indexes import Indexes
from mongarsd.memory.recall.rows import embedder
from mongarsd.memory.recall.types import Embed, Model

#: Of each ranking, this many places count.
RANKED = 50
#: With a filter, most of the nearest may be of files that do not pass.
WIDER = 1000

Way = Literal["hybrid", "words", "meaning"]


class Search:
    def __init__(self, database: Database, clock: Clock, indexes: Indexes, embed: Embed, model: Model) -> None:
        self._database, self._clock, self._indexes = database, clock, indexes
        self._embed, self._model = embed, model

    async def __call__(
        self,
        account: str,
        stores: Sequence[str],
        query: str,
        k: int = 10,
        *,
        test: Test | None = None,
        threshold: float = 0.0,
        way: Way = "hybrid",
    ) -> list[Passage]:
        """The best `k`, best first; without an embedding model by words alone. `test`: of a file's attributes.
        Raises NotFound."""
        async with self._database.reader() as reader:
            owners = [await number(reader, account, store) for store in dict.fromkeys(stores)]
            entries = await _passing(reader, owners, test)
        vector, found_by = (None, 0) if way == "words" else await self._vector(query)
        near = await self._near(owners, vector, found_by, wide=entries is not None) if vector else []
        async with self._database.reader() as reader:
            by_words = by_meaning = None
            unknown: set[int] = set()
            asked = [] if way == "meaning" else words.words(query)
            if asked:
                by_words = await _by_words(reader, owners, asked, entries)
            if vector:
                size = len(vector) // 4
                have = await rows.vectors(reader, owners, found_by, size, near, entries)
                by_meaning = await asyncio.to_thread(_ranked, vector, have)
                others = [key for key in by_words or () if key not in have]
                unknown = {*others} - {*await rows.vectors(reader, owners, found_by, size, others, None)}
            now = self._clock.wall()
            times = dict.fromkeys((*(by_words or ()), *(by_meaning or ())), now)
            scored = fuse(by_words, by_meaning, times, now, unknown=unknown)
            best = [(key, score) for key, score in scored[:k] if score >= threshold]
            made = await rows.passages(reader, account, [key for key, _ in best])
        return [_passage(made[key], score) for key, score in best if key in made]

    async def _vector(self, query: str) -> tuple[bytes | None, int]:
        """The query's, and the number of the embedder; None = by words alone."""
        if not (model := self._model()) or not query.strip():
            return None, 0
        async with self._database.reader() as reader:
            known = await embedder(reader, model)
        if known is None:  # no chunk has a vector of it yet
            return None, 0
        try:
            (vector,) = await self._embed([query], priority=Priority.INTERACTIVE)
        except MongarsError:
            return None, 0
        return vector, known[0]

    async def _near(self, stores: Sequence[int], vector: bytes, by: int, *, wide: bool) -> list[int]:
        return [
            key
            for store in stores
            for key in await self._indexes.search(str(store), by, len(vector) // 4, vector, WIDER if wide else None)
        ]


async def _by_words(
    reader: aiosqlite.Connection, stores: Sequence[int], asked: Sequence[str], entries: Sequence[int] | None
) -> list[int]:
    """Those with telling words, best first; then those where common ones stand together."""
    rare, common = words.parted(await rows.frequencies(reader, stores, asked))
    found = await rows.with_words(reader, stores, rare, entries, RANKED) if rare else []
    if common and len(found) < RANKED:
        found += await rows.with_words(reader, stores, common, entries, RANKED)
    return list(dict.fromkeys(found))[:RANKED]


async def _passing(reader: aiosqlite.Connection, stores: Sequence[int], test: Test | None) -> list[int] | None:
    """Numbers of the entries that pass; None = all do."""
    if test is None:
        return None
    found = await reader.execute_fetchall(
        "SELECT number, attributes FROM vector_store_files WHERE store IN (SELECT value FROM json_each(?))",
        (str(list(stores)),),
    )
    return [row[0] for row in found if test(msgspec.json.decode(row[1]))]


def _ranked(vector: bytes, have: dict[int, bytes]) -> list[int]:
    keys = list(have)
    scores = codec.similarities(vector, [have[key] for key in keys])
    order = sorted(range(len(keys)), key=lambda place: -float(scores[place]))
    return [keys[place] for place in order[:RANKED]]


def _passage(row: tuple[object, ...], score: float) -> Passage:
    file, filename, store, attributes, text, headings, start, end, page = row
    values = {"file": file, "filename": filename, "store": store, "text": text, "start": start, "end": end}
    return msgspec.convert(
        values
        | {
            "attributes": msgspec.json.decode(str(attributes)),
            "headings": str(headings).split("\n") if headings else (),
            "page": page,
            "score": min(score, 1.0),
        },
        Passage,
    )
