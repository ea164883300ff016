"""The SQL of memories. Every statement that a client's id reaches names the account too."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import aiosqlite

from mongarsd.ground.errors import NotFound
from mongarsd.memory.accounts import ensure
from mongarsd.memory.recall.codec import Coded
from mongarsd.memory.recall.types import Memory, Page, Source, new_id
from mongarsd.memory.recall.words import plain

_COLUMNS = "m.id, m.text, m.source, m.created, m.updated, c.id, m.embedder, m.number"
_WAITING = "number, account, updated, text"
_FROM = "FROM memories m LEFT JOIN conversations c ON c.number = m.conversation"


class Row(NamedTuple):
    number: int
    memory: Memory
    vector: bytes | None  # of the embedder that was asked for


class Waiting(NamedTuple):
    """A memory without a vector of the present model."""

    number: int
    account: str
    updated: float
    text: str


def insert(
    connection: sqlite3.Connection, account: str, text: str, source: Source, conversation: str | None, now: float
) -> Memory:
    """Raises NotFound for a conversation that the account does not have."""
    ensure(connection, account, now)
    number = None
    if conversation is not None:
        found = connection.execute(
            "SELECT number FROM conversations WHERE id = ? AND account = ?", (conversation, account)
        ).fetchone()
        if found is None:
            raise NotFound(f"there is no conversation {conversation[:80]}", param="conversation")
        number = found[0]
    memory = Memory(id=new_id(), text=text, source=source, created=now, updated=now, conversation=conversation)
    connection.execute(
        "INSERT INTO memories (id, account, source, created, updated, conversation, text) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (memory.id, account, source, now, now, number, text),
    )
    return memory


def update(connection: sqlite3.Connection, account: str, name: str, text: str, now: float) -> tuple[int, Memory]:
    """Its vector is gone until it is embedded again. Raises NotFound."""
    number, old = find(connection, account, name)
    connection.execute(
        "UPDATE memories SET text = ?, updated = ?, embedder = 0, bits = NULL, vector = NULL WHERE number = ?",
        (text, max(now, old.updated + 1e-6), number),  # a clock that stands still must not hide the change
    )
    return find(connection, account, name)


def delete(connection: sqlite3.Connection, account: str, names: Iterable[str]) -> list[tuple[int, Memory]]:
    """What was there of `names`."""
    gone = []
    for name in names:
        try:
            number, memory = find(connection, account, name)
        except NotFound:
            continue
        connection.execute("DELETE FROM memories WHERE number = ?", (number,))
        gone.append((number, memory))
    return gone


def find(connection: sqlite3.Connection, account: str, name: str) -> tuple[int, Memory]:
    """Raises NotFound."""
    row = connection.execute(
        f"SELECT {_COLUMNS} {_FROM} WHERE m.id = ? AND m.account = ?",
        (name, account),
    ).fetchone()
    if row is None:
        raise missing(name)
    return row[7], _memory(row)


def missing(name: str) -> NotFound:
    return NotFound(f"there is no memory {name[:80]}", param="id")


async def get(reader: aiosqlite.Connection, account: str, name: str) -> Memory:
    """Raises NotFound."""
    async with reader.execute(
        f"SELECT {_COLUMNS} {_FROM} WHERE m.id = ? AND m.account = ?",
        (name, account),
    ) as cursor:
        row = await cursor.fetchone()
    if row is None:
        raise missing(name)
    return _memory(row)


async def some(reader: aiosqlite.Connection, account: str, names: Sequence[str]) -> dict[str, Memory]:
    rows = await reader.execute_fetchall(
        f"SELECT {_COLUMNS} {_FROM} WHERE m.id IN ({','.join('?' * len(names))}) AND m.account = ?",
        (*names, account),
    )
    return {row[0]: _memory(row) for row in rows}


async def page(reader: aiosqlite.Connection, account: str, after: str, limit: int) -> Page:
    """Raises NotFound when `after` is no memory of the account."""
    before = 2**63 - 1
    if after:
        async with reader.execute(
            "SELECT number FROM memories WHERE id = ? AND account = ?", (after, account)
        ) as cursor:
            row = await cursor.fetchone()
        if row is None:
            raise missing(after)
        before = row[0]
    rows = list(
        await reader.execute_fetchall(
            f"SELECT {_COLUMNS} {_FROM} WHERE m.account = ? AND m.number < ? ORDER BY m.number DESC LIMIT ?",
            (account, before, limit + 1),
        )
    )
    items = tuple(_memory(row) for row in rows[:limit])
    return Page(items=items, after=items[-1].id if len(rows) > limit else "")


async def frequencies(reader: aiosqlite.Connection, asked: Sequence[str]) -> dict[str, int]:
    """How many memories, of all accounts, have each of the words. 0 may be wrong for scripts that are folded by rules
    of their own: such a word is searched all the same."""
    found = {}
    for word in asked:
        async with reader.execute("SELECT doc FROM memories_words WHERE term = ?", (plain(word),)) as cursor:
            row = await cursor.fetchone()
            found[word] = int(row[0]) if row else 0
    return found


async def with_words(reader: aiosqlite.Connection, account: str, match: str, most: int) -> list[int]:
    """Numbers of memories, best first by BM25."""
    rows = await reader.execute_fetchall(
        # CROSS: FTS5 gives its rows by rank, and the account is looked up for each until there are enough.
        "SELECT f.rowid FROM memories_fts f CROSS JOIN memories m ON m.number = f.rowid"
        " WHERE f.text MATCH ? AND m.account = ? ORDER BY f.rank LIMIT ?",
        (match, account, most),
    )
    return [row[0] for row in rows]


async def vectors(
    reader: aiosqlite.Connection, account: str, embedder: int, numbers: Sequence[int]
) -> dict[int, bytes]:
    """Of those `numbers` that the account has with a vector of `embedder`."""
    rows = await reader.execute_fetchall(
        f"SELECT number, vector FROM memories WHERE number IN ({','.join('?' * len(numbers))})"  # noqa: S608
        " AND account = ? AND embedder = ? AND vector IS NOT NULL",
        (*numbers, account, embedder),
    )
    return {row[0]: row[1] for row in rows}


async def fetch(reader: aiosqlite.Connection, account: str, embedder: int, numbers: Sequence[int]) -> list[Row]:
    rows = await reader.execute_fetchall(
        f"SELECT {_COLUMNS}, CASE m.embedder WHEN ? THEN m.vector END {_FROM}"
        f" WHERE m.number IN ({','.join('?' * len(numbers))}) AND m.account = ?",
        (embedder, *numbers, account),
    )
    return [Row(row[7], _memory(row), row[8]) for row in rows]


async def embedder(reader: aiosqlite.Connection, model: str) -> tuple[int, int] | None:
    """(number, dimensions); None = no vector was ever made with this model."""
    async with reader.execute("SELECT number, dimensions FROM embedders WHERE model = ?", (model,)) as cursor:
        row = await cursor.fetchone()
    return (row[0], row[1]) if row else None


async def waiting(reader: aiosqlite.Connection, embedder: int, most: int) -> list[Waiting]:
    """Those without any vector first, the newest of them at the front: what was just told is asked for soonest."""
    new = await reader.execute_fetchall(
        f"SELECT {_WAITING} FROM memories WHERE embedder = 0 ORDER BY number DESC LIMIT ?",  # noqa: S608
        (most,),
    )
    rows = list(new) or await reader.execute_fetchall(
        f"SELECT {_WAITING} FROM memories WHERE number IN (SELECT number FROM memories WHERE embedder < :mine"  # noqa: S608
        " UNION ALL SELECT number FROM memories WHERE embedder > :mine LIMIT :most)",
        {"mine": embedder, "most": most},
    )
    return [Waiting(*row) for row in rows]


async def count_waiting(reader: aiosqlite.Connection, embedder: int) -> int:
    async with reader.execute(
        "SELECT (SELECT count(*) FROM memories WHERE embedder < ?) + (SELECT count(*) FROM memories"
        " WHERE embedder > ?)",
        (embedder, embedder),
    ) as cursor:
        row = await cursor.fetchone()
    return int(row[0]) if row else 0


def ensure_embedder(connection: sqlite3.Connection, model: str, dimensions: int) -> int:
    """Its number. One that gives other lengths than before is another model under the same name: its old vectors go."""
    row = connection.execute("SELECT number, dimensions FROM embedders WHERE model = ?", (model,)).fetchone()
    if row and row[1] == dimensions:
        return int(row[0])
    if row:
        connection.execute("DELETE FROM embedders WHERE number = ?", (row[0],))
    cursor = connection.execute("INSERT INTO embedders (model, dimensions) VALUES (?, ?)", (model, dimensions))
    return int(cursor.lastrowid or 0)


def store(
    connection: sqlite3.Connection, model: str, dimensions: int, done: Sequence[tuple[Waiting, Coded | None]]
) -> tuple[int, list[tuple[Waiting, Coded | None]]]:
    """The embedder's number, and those stored: what was changed or deleted meanwhile is not. None = no vector."""
    embedder = ensure_embedder(connection, model, dimensions)
    return embedder, [
        (row, coded)
        for row, coded in done
        if connection.execute(
            "UPDATE memories SET embedder = ?, bits = ?, vector = ? WHERE number = ? AND updated = ?",
            (embedder, *(coded or (None, None)), row.number, row.updated),
        ).rowcount
    ]


async def signs(
    reader: aiosqlite.Connection, account: str, embedder: int, after: int, most: int
) -> list[tuple[int, bytes]]:
    """(number, bits) in the order of their numbers."""
    rows = await reader.execute_fetchall(
        "SELECT number, bits FROM memories WHERE account = ? AND embedder = ? AND number > ? AND bits IS NOT NULL"
        " ORDER BY number LIMIT ?",
        (account, embedder, after, most),
    )
    return [(row[0], row[1]) for row in rows]


def _memory(row: Any) -> Memory:
    return Memory(
        id=row[0],
        text=row[1],
        source=row[2],
        created=row[3],
        updated=row[4],
        conversation=row[5],
        embedded=row[6] != 0,
    )
