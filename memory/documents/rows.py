"""The SQL of chunks: what waits for the child and for the embedder, and what a search looks at."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import aiosqlite

from mongarsd.memory.documents.protocol import CutChunk
from mongarsd.memory.documents.types import Fault
from mongarsd.memory.recall import codec, words
from mongarsd.memory.recall.codec import Coded


class Uncut(NamedTuple):
    entry: int
    file: str
    filename: str
    most: int
    overlap: int


class Waiting(NamedTuple):
    """A chunk without a vector of the present model."""

    number: int
    store: int
    headings: str
    text: str

    @property
    def words(self) -> str:
        """What is embedded: a chunk alone may not say what it is about."""
        return f"{self.headings}\n{self.text}" if self.headings else self.text


async def next_uncut(reader: aiosqlite.Connection) -> Uncut | None:
    for row in await reader.execute_fetchall(
        "SELECT e.number, f.id, f.filename, e.most, e.overlap FROM vector_store_files e"
        " JOIN files f ON f.number = e.file WHERE e.status = 'in_progress' AND e.cut = 0 ORDER BY e.number LIMIT 1"
    ):
        return Uncut(*row)
    return None


def clear(connection: sqlite3.Connection, entry: int) -> None:
    """What an earlier try left."""
    connection.execute("DELETE FROM chunks WHERE entry = ?", (entry,))


def add(connection: sqlite3.Connection, entry: int, chunks: Iterable[CutChunk]) -> bool:
    """False = the entry was removed or cancelled meanwhile."""
    row = connection.execute(
        "SELECT store FROM vector_store_files WHERE number = ? AND status = 'in_progress'", (entry,)
    ).fetchone()
    if row is None:
        return False
    connection.executemany(
        "INSERT INTO chunks (entry, store, start, end, page, headings, text) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (entry, row[0], one.start, one.end, one.page, "\n".join(_line(title) for title in one.headings), one.text)
            for one in chunks
        ],
    )
    return True


def _line(title: str) -> str:
    return " ".join(title.split())


def finish(connection: sqlite3.Connection, entry: int) -> None:
    """All its chunks are there: it can be found by its words."""
    connection.execute(
        "UPDATE vector_store_files SET cut = 1, bytes = (SELECT coalesce(sum(length(CAST(text AS BLOB))), 0)"
        " FROM chunks WHERE entry = ?) WHERE number = ?",
        (entry, entry),
    )


def fail(connection: sqlite3.Connection, entry: int, code: Fault, message: str) -> None:
    clear(connection, entry)
    connection.execute(
        "UPDATE vector_store_files SET status = 'failed', code = ?, message = ? WHERE number = ?",
        (code, message, entry),
    )


def complete(connection: sqlite3.Connection, *, by_words: bool) -> int:
    """Entries whose chunks all have a vector, or with `by_words` all that are cut, are completed; how many."""
    return connection.execute(
        "UPDATE vector_store_files SET status = 'completed' WHERE status = 'in_progress' AND cut = 1"
        " AND (? OR NOT EXISTS (SELECT 1 FROM chunks WHERE entry = vector_store_files.number AND embedder = 0))",
        (by_words,),
    ).rowcount


async def uncompleted(reader: aiosqlite.Connection) -> bool:
    rows = await reader.execute_fetchall(
        "SELECT 1 FROM vector_store_files WHERE status = 'in_progress' AND cut = 1 LIMIT 1"
    )
    return bool(list(rows))


async def waiting(reader: aiosqlite.Connection, embedder: int, most: int) -> list[Waiting]:
    """Those without any vector first."""
    columns = "number, store, headings, text"
    new = await reader.execute_fetchall(
        f"SELECT {columns} FROM chunks WHERE embedder = 0 ORDER BY number LIMIT ?",  # noqa: S608
        (most,),
    )
    rows = list(new) or await reader.execute_fetchall(
        f"SELECT {columns} FROM chunks WHERE number IN (SELECT number FROM chunks WHERE embedder < :mine"  # noqa: S608
        " UNION ALL SELECT number FROM chunks WHERE embedder > :mine LIMIT :most)",
        {"mine": embedder, "most": most},
    )
    return [Waiting(*row) for row in rows]


def embedded(
    connection: sqlite3.Connection, embedder: int, done: Sequence[tuple[Waiting, Coded | None]]
) -> list[tuple[Waiting, Coded | None]]:
    """Store the vectors of those that are still there; None = this text can have none. What was stored."""
    return [
        (row, coded)
        for row, coded in done
        if connection.execute(
            "UPDATE chunks SET embedder = ?, bits = ?, vector = ? WHERE number = ?",
            (embedder, *(coded or (None, None)), row.number),
        ).rowcount
    ]


async def signs(
    reader: aiosqlite.Connection, store: str, embedder: int, after: int, most: int
) -> list[tuple[int, bytes]]:
    """(number, bits) of the store with this number, in the order of their numbers."""
    rows = await reader.execute_fetchall(
        "SELECT number, bits FROM chunks WHERE store = ? AND embedder = ? AND number > ? AND bits IS NOT NULL"
        " ORDER BY number LIMIT ?",
        (int(store), embedder, after, most),
    )
    return [(row[0], row[1]) for row in rows]


async def frequencies(reader: aiosqlite.Connection, stores: Sequence[int], asked: Sequence[str]) -> dict[str, int]:
    """How many chunks of these stores have each of the words, counted to one more than MOST_TEXTS. The words of all
    stores that FTS5 counts itself are no measure of one, and are stems."""
    found = {}
    for word in asked:
        async with reader.execute(
            "SELECT count(*) FROM (SELECT 1 FROM chunks_fts WHERE chunks_fts MATCH ? LIMIT ?)",
            (_within(stores, words.query([word])), words.MOST_TEXTS + 1),
        ) as cursor:
            row = await cursor.fetchone()
            found[word] = int(row[0]) if row else 0
    return found


async def with_words(
    reader: aiosqlite.Connection, stores: Sequence[int], match: str, entries: Sequence[int] | None, most: int
) -> list[int]:
    """Numbers of chunks, best first by BM25; `entries`: only theirs. Of more than MOST_TEXTS that match, the newest
    are ranked."""
    rows = await reader.execute_fetchall(
        "SELECT f.rowid FROM chunks_fts f CROSS JOIN chunks c ON c.number = f.rowid"
        " JOIN vector_store_files e ON e.number = c.entry"
        " WHERE f.chunks_fts MATCH :words AND f.rank MATCH 'bm25(2.0, 1.0, 0.0)' AND e.cut = 1"
        " AND (:only IS NULL OR c.entry IN (SELECT value FROM json_each(:only)))"
        " AND f.rowid >= coalesce((SELECT m.rowid"
        " FROM chunks_fts m CROSS JOIN chunks d ON d.number = m.rowid WHERE m.chunks_fts MATCH :words"
        " AND (:only IS NULL OR d.entry IN (SELECT value FROM json_each(:only)))"
        " ORDER BY m.rowid DESC LIMIT 1 OFFSET :older), 0)"
        " ORDER BY f.rank LIMIT :most",
        {"words": _within(stores, match), "only": _list(entries), "most": most, "older": words.MOST_TEXTS - 1},
    )
    return [row[0] for row in rows]


async def vectors(
    reader: aiosqlite.Connection,
    stores: Sequence[int],
    embedder: int,
    dimensions: int,
    numbers: Sequence[int],
    entries: Sequence[int] | None,
) -> dict[int, bytes]:
    """Of those `numbers` that these stores have with a vector of `embedder`; `entries`: only theirs."""
    rows = await reader.execute_fetchall(
        "SELECT c.number, c.vector FROM chunks c JOIN vector_store_files e ON e.number = c.entry"
        " WHERE c.number IN (SELECT value FROM json_each(:numbers))"
        " AND c.store IN (SELECT value FROM json_each(:stores))"
        " AND c.embedder = :embedder AND length(c.vector) = :length AND e.cut = 1"
        " AND (:only IS NULL OR c.entry IN (SELECT value FROM json_each(:only)))",
        {
            "numbers": _list(numbers),
            "stores": _list(stores),
            "embedder": embedder,
            "length": codec.HEADER + dimensions,
            "only": _list(entries),
        },
    )
    return {row[0]: row[1] for row in rows}


async def passages(reader: aiosqlite.Connection, account: str, numbers: Sequence[int]) -> dict[int, Any]:
    """(file, filename, store, attributes, text, headings, start, end, page) of chunks of the account."""
    rows = await reader.execute_fetchall(
        "SELECT c.number, f.id, f.filename, s.id, e.attributes, c.text, c.headings, c.start, c.end, c.page"
        " FROM chunks c JOIN vector_store_files e ON e.number = c.entry JOIN files f ON f.number = e.file"
        " JOIN vector_stores s ON s.number = e.store"
        " WHERE c.number IN (SELECT value FROM json_each(?)) AND s.account = ? AND f.account = ?",
        (_list(numbers), account, account),
    )
    return {row[0]: row[1:] for row in rows}


def _within(stores: Sequence[int], match: str) -> str:
    own = " OR ".join(f'"{store}"' for store in stores)
    return f"store : ({own}) AND {{headings text}} : ({match})"


def _list(numbers: Sequence[int] | None) -> str | None:
    return None if numbers is None else str(list(numbers))
