"""Memories of an account: told, found again by words and by meaning, changed and forgotten."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import BadRequest, MongarsError
from mongarsd.ground.job import Priority
from mongarsd.ground.metrics import Labels, Metrics
from mongarsd.memory.database.database import Database
from mongarsd.memory.database.erase import erase
from mongarsd.memory.recall import codec, rows, words
from mongarsd.memory.recall.carried import Carried
from mongarsd.memory.recall.embedding import Embedding
from mongarsd.memory.recall.fusion import fuse
from mongarsd.memory.recall.indexes import Indexes
from mongarsd.memory.recall.types import (
    MAX_PAGE,
    MAX_TEXT,
    Embed,
    Found,
    Hit,
    Memory,
    Model,
    Page,
    Progress,
    Source,
)

#: Of each ranking, this many places count: reciprocal ranks beyond decide nothing.
RANKED = 50
#: Relevance (see Hit) from which "forget …" means a memory, how much less than the best one also counts as meant, and
#: the most it deletes.
MEANT, AS_MUCH, MOST_FORGOTTEN = 0.6, 0.05, 3


class _Meaning(NamedTuple):
    embedder: int
    vector: bytes
    numbers: list[int]  # best first


class Recall:
    """`run()` is a background task. Every verb takes the account, and none sees another's."""

    def __init__(self, database: Database, clock: Clock, embed: Embed, model: Model, metrics: Metrics) -> None:
        self._database, self._clock = database, clock
        self._embed, self._model = embed, model
        self._indexes = Indexes(database, clock)
        self._embedding = Embedding(database, self._indexes, embed, model)
        self.carried = Carried()
        self._register(metrics)

    async def run(self) -> None:
        """Give memories their vectors, for ever."""
        await self._embedding.run()

    def reset(self) -> None:
        """The file is another one now."""
        self._indexes.clear()
        self._embedding.call()

    def progress(self) -> Progress:
        return Progress(
            model=self._model(),
            waiting=self._embedding.waiting,
            loaded=len(self._indexes),
            bytes=self._indexes.size,
            trouble=self._embedding.trouble,
        )

    async def add(self, account: str, text: str, *, source: Source = "fact", conversation: str | None = None) -> Memory:
        """On disk when this returns; found by its words at once, by its meaning soon. Raises BadRequest, NotFound."""
        _check(text)
        now = self._clock.wall()
        memory = await self._database.write(
            lambda connection: rows.insert(connection, account, text, source, conversation, now)
        )
        self._embedding.call()
        return memory

    async def get(self, account: str, name: str) -> Memory:
        """Raises NotFound."""
        async with self._database.reader() as reader:
            return await rows.get(reader, account, name)

    async def some(self, account: str, names: Sequence[str]) -> dict[str, Memory]:
        """Those of `names` that are there."""
        if not names:
            return {}
        async with self._database.reader() as reader:
            return await rows.some(reader, account, names)

    async def page(self, account: str, *, after: str = "", limit: int = 20) -> Page:
        """Newest first. Raises NotFound when `after` is no memory."""
        async with self._database.reader() as reader:
            return await rows.page(reader, account, after, min(max(limit, 1), MAX_PAGE))

    async def change(self, account: str, name: str, text: str) -> Memory:
        """What it said before is really gone. Raises BadRequest, NotFound."""
        _check(text)
        now = self._clock.wall()

        def work(connection: sqlite3.Connection) -> tuple[int, Memory]:
            changed = rows.update(connection, account, name, text, now)
            erase(connection)
            return changed

        number, memory = await self._database.write(work)
        await self._database.checkpoint()  # the log has the old page too
        self._indexes.remove(account, [number])
        self._embedding.call()
        return memory

    async def delete(self, account: str, name: str) -> Memory:
        """What it was. Raises NotFound."""
        gone = await self._delete(account, [name])
        if not gone:
            raise rows.missing(name)
        return gone[0]

    async def forget(self, account: str, text: str) -> list[Memory]:
        """Delete the facts and turns that `text` means, three at most; what they were. Often none is close enough."""
        found = await self.search(account, text, k=10)
        meant = [hit for hit in found.hits if hit.relevance >= MEANT and hit.memory.source != "document"]
        best = max((hit.relevance for hit in meant), default=0.0)
        closest = sorted(meant, key=lambda hit: -hit.relevance)[:MOST_FORGOTTEN]
        return await self._delete(account, [hit.memory.id for hit in closest if hit.relevance >= best - AS_MUCH])

    async def search(self, account: str, text: str, *, k: int = 8) -> Found:
        """The `k` best. Without an embedding model, or when it fails, by words alone. Raises StorageUnavailable."""
        begin = self._clock.monotonic()
        asked = words.words(text)
        by_words, meaning = await asyncio.gather(self._by_words(account, asked), self._by_meaning(account, text))
        hybrid = isinstance(meaning, _Meaning)
        by_meaning = meaning.numbers if isinstance(meaning, _Meaning) else None
        numbers = list(dict.fromkeys((*by_words, *(by_meaning or ()))))
        async with self._database.reader() as reader:
            found = await rows.fetch(
                reader, account, meaning.embedder if isinstance(meaning, _Meaning) else -1, numbers
            )
        known = {row.number: row for row in found}
        times = {row.number: row.memory.created for row in found}
        unknown = {row.number for row in found if row.vector is None}
        scored = fuse(by_words, by_meaning, times, self._clock.wall(), unknown=unknown)[:k]
        cosines = _cosines(meaning, [known[number] for number, _ in scored]) if isinstance(meaning, _Meaning) else {}
        hits = tuple(
            Hit(
                memory=known[number].memory,
                score=round(score, 4),
                similarity=cosines.get(number),
                words=round(words.share(asked, known[number].memory.text), 4),
            )
            for number, score in scored
        )
        self._seconds.observe(self._clock.monotonic() - begin, "hybrid" if hybrid else "words")
        if isinstance(meaning, _Meaning):
            return Found(hits=hits, mode="hybrid")
        return Found(hits=hits, mode="words", why=meaning)

    async def _by_words(self, account: str, asked: Sequence[str]) -> list[int]:
        async with self._database.reader() as reader:
            match = words.narrowed(await rows.frequencies(reader, asked))
            return await rows.with_words(reader, account, match, RANKED) if match else []

    async def _by_meaning(self, account: str, text: str) -> _Meaning | str:
        """Or why not."""
        model = self._model()
        if not model:
            return "no embedding model is installed"
        async with self._database.reader() as reader:
            known = await rows.embedder(reader, model)
        if known is None:
            return "no memory has a vector of this embedding model yet"
        embedder, dimensions = known
        try:
            (vector,) = await self._embed([text[:MAX_TEXT]], priority=Priority.INTERACTIVE)
        except MongarsError as error:
            return error.message
        if len(vector) != dimensions * 4 or self._model() != model:
            return "the embedding model is being changed"
        near = await self._indexes.search(account, embedder, dimensions, vector)
        async with self._database.reader() as reader:
            vectors = await rows.vectors(reader, account, embedder, near)
        ordered = await asyncio.to_thread(_nearest, vector, vectors)
        return _Meaning(embedder, vector, ordered[:RANKED])

    async def _delete(self, account: str, names: Sequence[str]) -> list[Memory]:
        if not names:
            return []

        def work(connection: sqlite3.Connection) -> list[tuple[int, Memory]]:
            gone = rows.delete(connection, account, names)
            if gone:
                erase(connection)
            return gone

        gone = await self._database.write(work)
        if gone:
            await self._database.checkpoint()  # the log has the old pages too
        self._indexes.remove(account, [number for number, _ in gone])
        return [memory for _, memory in gone]

    def _register(self, metrics: Metrics) -> None:
        self._seconds = metrics.histogram(
            "mongarsd_memory_search_seconds", "Searching memories, the question's vector included.", labels=("mode",)
        )
        gauges: tuple[tuple[str, str, Callable[[], float]], ...] = (
            (
                "waiting",
                "Memories that have no vector of the present embedding model yet.",
                lambda: self._embedding.waiting,
            ),
            ("embedded_total", "Vectors made for memories since the start.", lambda: self._embedding.done),
            ("index_vectors", "Vectors whose signs are in RAM.", lambda: len(self._indexes)),
            ("index_bytes", "Bytes of them.", lambda: self._indexes.size),
            ("index_hits", "Searches whose account's index was in RAM.", lambda: self._indexes.hits),
            ("index_misses", "Searches that read it from the file.", lambda: self._indexes.misses),
            ("index_evictions", "Indexes dropped: idle for long, or too many.", lambda: self._indexes.evictions),
            ("carried_places", "Places in conversations where memories stand.", lambda: len(self.carried)),
            ("carried_hits", "Looks for such a place that found it.", lambda: self.carried.hits),
            ("carried_misses", "Looks for such a place that did not.", lambda: self.carried.misses),
            ("carried_evictions", "Such places that were forgotten.", lambda: self.carried.evictions),
        )
        for name, about, read in gauges:
            metrics.gauge(f"mongarsd_memory_{name}", about).source = _alone(read)


def _alone(read: Callable[[], float]) -> Callable[[], dict[Labels, float]]:
    return lambda: {(): float(read())}


def _nearest(vector: bytes, vectors: dict[int, bytes]) -> list[int]:
    cosines = codec.similarities(vector, list(vectors.values()))
    numbers = list(vectors)
    return [numbers[place] for place in (-cosines).argsort(kind="stable")]


def _cosines(meaning: _Meaning, found: Sequence[rows.Row]) -> dict[int, float]:
    """Also of those that only their words found."""
    compared = [row for row in found if row.vector is not None]
    cosines = codec.similarities(meaning.vector, [row.vector for row in compared if row.vector is not None])
    return {row.number: round(float(cosine), 4) for row, cosine in zip(compared, cosines, strict=True)}


def _check(text: str) -> None:
    """Raises BadRequest."""
    if not text.strip():
        raise BadRequest("text: an empty text is nothing to remember", param="text")
    if len(text) > MAX_TEXT:
        raise BadRequest(
            f"text: {len(text)} characters are more than {MAX_TEXT}; add long texts as documents", param="text"
        )
