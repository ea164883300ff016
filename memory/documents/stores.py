"""Vector stores of an account, and the files in them. No verb sees another account's."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import aiosqlite
import msgspec

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import BadRequest, NotFound, TooLarge
from mongarsd.memory.accounts import ensure
from mongarsd.memory.database.database import Database
from mongarsd.memory.database.erase import erase
from mongarsd.memory.documents import files
from mongarsd.memory.documents.files import Order
from mongarsd.memory.documents.types import (
    MAX_PAGE,
    Attributes,
    Batch,
    Counts,
    Cut,
    Entry,
    NewEntry,
    Status,
    Store,
    new_id,
)

#: Stores of an account: each is small, but has rows of its own.
MAX_STORES = 1000

_STORE = """s.id, s.name, s.metadata, s.created, s.used, (SELECT coalesce(sum(bytes), 0) FROM vector_store_files
 WHERE store = s.number), s.number"""
_ENTRY = """f.id, s.id, f.filename, f.digest, e.attributes, e.most, e.overlap, e.created, e.status, e.code, e.message,
 e.bytes, e.number"""
_JOINED = "vector_store_files e JOIN vector_stores s ON s.number = e.store JOIN files f ON f.number = e.file"


class Stores:
    """`changed` is called when there is something to index, `removed` with the numbers of stores that lost chunks."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        changed: Callable[[], None],
        removed: Callable[[Iterable[int]], None],
    ) -> None:
        self._database, self._clock = database, clock
        self._changed, self._removed = changed, removed

    async def create(
        self, account: str, name: str, metadata: Mapping[str, str] | None = None, entries: Sequence[NewEntry] = ()
    ) -> Store:
        """With its first files, all or nothing. Raises NotFound, TooLarge."""
        now, made = self._clock.wall(), new_id("vs_")
        encoded = _json(dict(metadata or {}))

        def work(connection: sqlite3.Connection) -> None:
            ensure(connection, account, now)
            count = connection.execute("SELECT count(*) FROM vector_stores WHERE account = ?", (account,)).fetchone()[0]
            if count >= MAX_STORES:
                raise TooLarge(f"this account has {count} vector stores: delete some", limit=MAX_STORES)
            connection.execute(
                "INSERT INTO vector_stores (id, account, name, metadata, created, used) VALUES (?, ?, ?, ?, ?, ?)",
                (made, account, name, encoded, now, now),
            )
            _put(connection, account, made, entries, now, None)

        await self._database.write(work)
        self._changed()
        return await self.get(account, made)

    async def get(self, account: str, store: str) -> Store:
        """Raises NotFound."""
        async with self._database.reader() as reader:
            for row in await reader.execute_fetchall(
                f"SELECT {_STORE} FROM vector_stores s WHERE s.id = ? AND s.account = ?",  # noqa: S608
                (store, account),
            ):
                return await _store(reader, row)
        raise missing(store)

    async def page(
        self, account: str, *, after: str = "", before: str = "", limit: int = 20, order: Order = "desc"
    ) -> tuple[list[Store], bool]:
        """A page, and whether there are more. Raises NotFound, BadRequest."""
        async with self._database.reader() as reader:
            page = await _page("s.number", after, before, limit, order, lambda name: number(reader, account, name))
            rows = await reader.execute_fetchall(
                f"SELECT {_STORE} FROM vector_stores s WHERE s.account = ? {page.where}",  # noqa: S608
                (account, *page.values),
            )
            found, more = page.cut(rows)
            return [await _store(reader, row) for row in found], more

    async def change(
        self, account: str, store: str, *, name: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Store:
        """Raises NotFound."""
        encoded = None if metadata is None else _json(dict(metadata))

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE vector_stores SET name = coalesce(?, name), metadata = coalesce(?, metadata) WHERE number = ?",
                (name, encoded, _own(connection, account, store)),
            )

        await self._database.write(work)
        return await self.get(account, store)

    async def delete(self, account: str, store: str) -> None:
        """It and its chunks; the files stay. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> int:
            own = _own(connection, account, store)
            connection.execute("DELETE FROM vector_stores WHERE number = ?", (own,))
            erase(connection)
            return own

        self._removed([await self._database.write(work)])
        await self._database.checkpoint()

    async def add(self, account: str, store: str, entries: Sequence[NewEntry], *, batch: bool = False) -> str:
        """All or nothing; a file that is there already is indexed anew if it is to be cut in another way. The id of the
        batch, or "". Raises NotFound."""
        made, now = new_id("vsfb_") if batch else "", self._clock.wall()
        self._removed(
            await self._database.write(lambda connection: _put(connection, account, store, entries, now, made or None))
        )
        self._changed()
        return made

    async def entry(self, account: str, store: str, file: str) -> Entry:
        """Raises NotFound."""
        async with self._database.reader() as reader:
            for row in await reader.execute_fetchall(
                f"SELECT {_ENTRY} FROM {_JOINED} WHERE s.id = ? AND f.id = ? AND s.account = ?",  # noqa: S608
                (store, file, account),
            ):
                return _entry(row)
        raise NotFound(f"there is no file {file[:80]!r} in {store[:80]!r}")

    async def entries(
        self, account: str, store: str, *, batch: str = "", status: Status | None = None,
        after: str = "", before: str = "", limit: int = 20, order: Order = "desc",
    ) -> tuple[list[Entry], bool]:  # fmt: skip
        """Raises NotFound, BadRequest."""
        async with self._database.reader() as reader:
            owner = await number(reader, account, store)

            async def place(name: str) -> int:
                for row in await reader.execute_fetchall(
                    f"SELECT e.number FROM {_JOINED} WHERE e.store = ? AND f.id = ?",  # noqa: S608
                    (owner, name),
                ):
                    return int(row[0])
                raise NotFound(f"there is no file {name[:80]!r} in {store}")

            page = await _page("e.number", after, before, limit, order, place)
            rows = await reader.execute_fetchall(
                f"SELECT {_ENTRY} FROM {_JOINED} WHERE e.store = ? AND ? IN ('', e.batch)"  # noqa: S608
                f" AND coalesce(?, e.status) = e.status {page.where}",
                (owner, batch, status, *page.values),
            )
            found, more = page.cut(rows)
            return [_entry(row) for row in found], more

    async def change_entry(self, account: str, store: str, file: str, attributes: Attributes) -> Entry:
        """Raises NotFound."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE vector_store_files SET attributes = ? WHERE number = ?",
                (_json(attributes), _own_entry(connection, account, store, file)),
            )

        await self._database.write(work)
        return await self.entry(account, store, file)

    async def remove(self, account: str, store: str, file: str) -> None:
        """The file stays, its chunks in this store go. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> int:
            own = _own_entry(connection, account, store, file)
            connection.execute("DELETE FROM vector_store_files WHERE number = ?", (own,))
            erase(connection)
            return _own(connection, account, store)

        self._removed([await self._database.write(work)])
        await self._database.checkpoint()

    async def text(self, account: str, store: str, file: str) -> list[str]:
        """The chunks of a file in order. Raises NotFound."""
        await self.entry(account, store, file)
        async with self._database.reader() as reader:
            rows = await reader.execute_fetchall(
                f"SELECT c.text FROM {_JOINED} JOIN chunks c ON c.entry = e.number"  # noqa: S608
                " WHERE s.id = ? AND f.id = ? AND s.account = ? ORDER BY c.number",
                (store, file, account),
            )
        return [row[0] for row in rows]

    async def batch(self, account: str, store: str, batch: str) -> Batch:
        """Raises NotFound."""
        async with self._database.reader() as reader:
            owner = await number(reader, account, store)
            counts = await _counts(reader, "store = ? AND batch = ?", (owner, batch))
            created = await reader.execute_fetchall(
                "SELECT min(created) FROM vector_store_files WHERE store = ? AND batch = ?", (owner, batch)
            )
        if not counts.total:
            raise NotFound(f"there is no batch {batch[:80]!r} in {store}")
        return Batch(id=batch, store=store, created=next(iter(created))[0], counts=counts)

    async def cancel(self, account: str, store: str, batch: str) -> Batch:
        """What is not indexed yet will not be. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE vector_store_files SET status = 'cancelled'"
                " WHERE store = ? AND batch = ? AND status = 'in_progress' AND NOT cut",
                (_own(connection, account, store), batch),
            )

        await self._database.write(work)
        return await self.batch(account, store, batch)


def _put(
    connection: sqlite3.Connection,
    account: str,
    store: str,
    entries: Iterable[NewEntry],
    now: float,
    batch: str | None,
) -> list[int]:
    """The store's number, if it lost chunks."""
    lost = []
    owner = _own(connection, account, store)
    for entry in entries:
        row = connection.execute(
            "SELECT number FROM files WHERE id = ? AND account = ?", (entry.file, account)
        ).fetchone()
        if row is None:
            raise files.missing(entry.file)
        values = (batch, _json(entry.attributes), entry.cut.most, entry.cut.overlap)
        old = connection.execute(
            "SELECT number, most, overlap, status FROM vector_store_files WHERE store = ? AND file = ?", (owner, row[0])
        ).fetchone()
        if old and old[1:3] == values[2:] and old[3] in ("completed", "in_progress"):
            connection.execute(
                "UPDATE vector_store_files SET batch = ?, attributes = ? WHERE number = ?", (*values[:2], old[0])
            )
            continue
        if old:
            connection.execute("DELETE FROM vector_store_files WHERE number = ?", (old[0],))
            lost = [owner]
        connection.execute(
            "INSERT INTO vector_store_files (batch, attributes, most, overlap, store, file, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*values, owner, row[0], now),
        )
    connection.execute("UPDATE vector_stores SET used = max(used, ?) WHERE number = ?", (now, owner))
    return lost


class _Page:
    def __init__(self, where: str, values: tuple[int, ...], limit: int, reverse: bool) -> None:
        self.where, self.values, self._limit, self._reverse = where, values, limit, reverse

    def cut(self, rows: Iterable[Any]) -> tuple[list[Any], bool]:
        found = list(rows)
        kept = found[: self._limit]
        return kept[::-1] if self._reverse else kept, len(found) > self._limit


async def _page(
    column: str, after: str, before: str, limit: int, order: Order, place: Callable[[str], Awaitable[int]]
) -> _Page:
    """What follows `after`, or what leads up to `before`. Raises BadRequest, NotFound."""
    if not 1 <= limit <= MAX_PAGE:
        raise BadRequest(f"limit: from 1 to {MAX_PAGE}", param="limit")
    if after and before:
        raise BadRequest("after and before cannot both be given", param="before")
    backwards = bool(before)
    rising = (order == "asc") != backwards
    where = ""
    values: tuple[int, ...] = ()
    if after or before:
        where, values = f"AND {column} {'>' if rising else '<'} ?", (await place(after or before),)
    where += f" ORDER BY {column} {'ASC' if rising else 'DESC'} LIMIT {limit + 1}"
    return _Page(where, values, limit, backwards)


async def number(reader: aiosqlite.Connection, account: str, store: str) -> int:
    """Raises NotFound."""
    for row in await reader.execute_fetchall(_OWN, (store, account)):
        return int(row[0])
    raise missing(store)


def _own(connection: sqlite3.Connection, account: str, store: str) -> int:
    if (row := connection.execute(_OWN, (store, account)).fetchone()) is None:
        raise missing(store)
    return int(row[0])


def _own_entry(connection: sqlite3.Connection, account: str, store: str, file: str) -> int:
    row = connection.execute(
        f"SELECT e.number FROM {_JOINED} WHERE s.id = ? AND f.id = ? AND s.account = ?",  # noqa: S608
        (store, file, account),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no file {file[:80]!r} in {store[:80]!r}")
    return int(row[0])


_OWN = "SELECT number FROM vector_stores WHERE id = ? AND account = ?"


def missing(store: str) -> NotFound:
    return NotFound(f"there is no vector store {store[:80]!r}")


async def _counts(reader: aiosqlite.Connection, where: str, values: tuple[Any, ...]) -> Counts:
    rows = await reader.execute_fetchall(
        f"SELECT status, count(*) FROM vector_store_files WHERE {where} GROUP BY status",  # noqa: S608
        values,
    )
    return Counts(**{row[0]: row[1] for row in rows})


async def _store(reader: aiosqlite.Connection, row: Any) -> Store:
    return Store(
        id=row[0], name=row[1], metadata=msgspec.json.decode(row[2]), created=row[3], used=row[4], bytes=row[5],
        counts=await _counts(reader, "store = ?", (row[6],)),
    )  # fmt: skip


def _entry(row: Any) -> Entry:
    return Entry(
        file=row[0], store=row[1], filename=row[2], digest=row[3], attributes=msgspec.json.decode(row[4]),
        cut=Cut(row[5], row[6]), created=row[7], status=row[8], code=row[9], message=row[10], bytes=row[11],
    )  # fmt: skip


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
