"""Conversations and turns of an account. Every verb takes the account, and none sees another's."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import aiosqlite
import msgspec
from msgspec import structs

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import BadRequest, NotFound
from mongarsd.memory.accounts import ensure
from mongarsd.memory.conversations import cursor, fulltext
from mongarsd.memory.conversations.types import MAX_PAGE, Conversation, Details, Hit, NewTurn, Page, Turn, new_id
from mongarsd.memory.database.database import Database
from mongarsd.memory.database.erase import erase

_CONVERSATION = "id, title, created, updated, turns, bytes, metadata, number"
_TURN = "t.id, t.number, c.id, t.role, t.content, t.created, t.node, t.model, t.details, t.feedback, t.comment"
_FROM = "FROM turns t JOIN conversations c ON c.number = t.conversation"

#: Bytes of a row beside its text, about; so that a million empty turns count too.
ROW = 100


class Conversations:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def create(
        self, account: str, turns: Sequence[NewTurn] = (), *, title: str = "", metadata: Mapping[str, str] | None = None
    ) -> Conversation:
        """A conversation with its first turns, all or nothing."""
        now, name = self._clock.wall(), new_id("conv")
        values = (name, account, title, now, now, msgspec.json.encode(dict(metadata or {})).decode())

        def work(connection: sqlite3.Connection) -> Conversation:
            ensure(connection, account, now)
            connection.execute(
                "INSERT INTO conversations (id, account, title, created, updated, metadata) VALUES (?, ?, ?, ?, ?, ?)",
                values,
            )
            _append(connection, account, name, turns, now)
            return _conversation(_row(connection, account, name))

        return await self._database.write(work)

    async def append(self, account: str, conversation: str, turns: Sequence[NewTurn]) -> Sequence[Turn]:
        """On disk when this returns. Raises NotFound."""
        now = self._clock.wall()
        return await self._database.write(lambda connection: _append(connection, account, conversation, turns, now))

    async def get(self, account: str, conversation: str) -> Conversation:
        """Raises NotFound."""
        async with self._database.reader() as reader:
            return _conversation(await _find(reader, account, conversation))

    async def list(self, account: str, *, after: str = "", limit: int = 20) -> Page[Conversation]:
        """The one that was used last comes first. Raises BadRequest for a page that never was."""
        updated, number = cursor.read(after) if after else (float("inf"), 0)
        async with self._database.reader() as reader:
            rows = await reader.execute_fetchall(
                f"SELECT {_CONVERSATION} FROM conversations WHERE account = ? AND (updated, number) < (?, ?)"  # noqa: S608
                " ORDER BY updated DESC, number DESC LIMIT ?",
                (account, updated, number, _most(limit) + 1),
            )
        found = list(rows)
        more = len(found) > limit
        last = found[limit - 1] if more else None
        return Page([_conversation(row) for row in found[:limit]], cursor.write(last[3], last[7]) if last else "")

    async def turns(
        self, account: str, conversation: str, *, after: str = "", limit: int = 20, newest_first: bool = False
    ) -> Page[Turn]:
        """`after`: the id of a turn. Raises NotFound."""
        sign, order = ("<", "DESC") if newest_first else (">", "ASC")
        async with self._database.reader() as reader:
            owner = (await _find(reader, account, conversation))[7]
            start = (await _turn(reader, account, after))[1] if after else (2**62 if newest_first else 0)
            rows = await reader.execute_fetchall(
                f"SELECT {_TURN} {_FROM} WHERE t.conversation = ? AND t.number {sign} ?"
                f" ORDER BY t.number {order} LIMIT ?",
                (owner, start, _most(limit) + 1),
            )
        found = [_as_turn(row) for row in rows]
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else "")

    async def turn(self, account: str, turn: str) -> Turn:
        """Raises NotFound."""
        async with self._database.reader() as reader:
            return _as_turn(await _turn(reader, account, turn))

    async def search(self, account: str, query: str, *, limit: int = 20) -> Sequence[Hit]:
        """Turns with all the words of `query`, whatever signs are in it. No words, no hits."""
        async with self._database.reader() as reader:
            return await fulltext.search(reader, account, query, _most(limit))

    async def change(
        self, account: str, conversation: str, *, title: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Conversation:
        """Raises NotFound."""
        encoded = None if metadata is None else msgspec.json.encode(dict(metadata)).decode()

        def work(connection: sqlite3.Connection) -> Conversation:
            number = _row(connection, account, conversation)[7]
            connection.execute(
                "UPDATE conversations SET title = coalesce(?, title), metadata = coalesce(?, metadata)"
                " WHERE number = ?",
                (title, encoded, number),
            )
            return _conversation(_row(connection, account, conversation))

        return await self._database.write(work)

    async def rate(self, account: str, turn: str, feedback: int, comment: str = "") -> Turn:
        """-1, 0 (none) or 1. Raises NotFound, BadRequest."""
        if feedback not in (-1, 0, 1):
            raise BadRequest("feedback: -1, 0 or 1", param="feedback")

        def work(connection: sqlite3.Connection) -> None:
            done = connection.execute(
                "UPDATE turns SET feedback = ?, comment = ? WHERE id = ? AND account = ?",
                (feedback, comment, turn, account),
            )
            if not done.rowcount:
                raise _missing("turn", turn)

        await self._database.write(work)
        return await self.turn(account, turn)

    async def delete(self, account: str, conversation: str) -> None:
        """It, its turns, and what hangs on them: overwritten in the file and gone from the log. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> None:
            number = _row(connection, account, conversation)[7]
            connection.execute("DELETE FROM conversations WHERE number = ?", (number,))
            erase(connection)

        await self._database.write(work)
        await self._database.checkpoint()

    async def delete_turn(self, account: str, turn: str) -> None:
        """Raises NotFound."""

        def work(connection: sqlite3.Connection) -> None:
            row = connection.execute(f"SELECT {_TURN} {_FROM} WHERE t.id = ? AND t.account = ?", (turn, account))
            if not (found := row.fetchone()):
                raise _missing("turn", turn)
            gone = _as_turn(found)
            connection.execute("DELETE FROM turns WHERE number = ?", (gone.number,))
            connection.execute(
                "UPDATE conversations SET turns = turns - 1, bytes = max(0, bytes - ?) WHERE id = ?",
                (_size(gone), gone.conversation),
            )
            erase(connection)

        await self._database.write(work)
        await self._database.checkpoint()

    async def delete_all(self, account: str) -> int:
        """Every conversation of the account; how many there were."""

        def work(connection: sqlite3.Connection) -> int:
            gone = connection.execute("DELETE FROM conversations WHERE account = ?", (account,)).rowcount
            erase(connection)
            return gone

        gone = await self._database.write(work)
        await self._database.checkpoint()
        return gone


def _append(
    connection: sqlite3.Connection, account: str, conversation: str, turns: Sequence[NewTurn], now: float
) -> list[Turn]:
    number = _row(connection, account, conversation)[7]
    stored = []
    for turn in turns:
        details = msgspec.json.encode(turn.details).decode()
        values = (new_id("msg"), number, account, turn.role, turn.content, now, turn.node, turn.model, details)
        done = connection.execute(
            "INSERT INTO turns (id, conversation, account, role, content, created, node, model, details)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        fields = {name: getattr(turn, name) for name in NewTurn.__struct_fields__}
        stored.append(Turn(id=values[0], number=done.lastrowid or 0, conversation=conversation, created=now, **fields))
    if stored:
        connection.execute(
            "UPDATE conversations SET updated = max(updated, ?), turns = turns + ?, bytes = bytes + ? WHERE number = ?",
            (now, len(stored), sum(map(_size, stored)), number),
        )
    return stored


def _size(turn: NewTurn) -> int:
    """Bytes in the file, about."""
    return len(turn.content.encode()) + len(msgspec.json.encode(turn.details)) + ROW


def _row(connection: sqlite3.Connection, account: str, conversation: str) -> Any:
    row = connection.execute(_BY_ID, (conversation, account)).fetchone()
    if not row:
        raise _missing("conversation", conversation)
    return row


async def _find(reader: aiosqlite.Connection, account: str, conversation: str) -> Any:
    for row in await reader.execute_fetchall(_BY_ID, (conversation, account)):
        return row
    raise _missing("conversation", conversation)


async def _turn(reader: aiosqlite.Connection, account: str, turn: str) -> Any:
    query = f"SELECT {_TURN} {_FROM} WHERE t.id = ? AND t.account = ?"
    for row in await reader.execute_fetchall(query, (turn, account)):
        return row
    raise _missing("turn", turn)


_BY_ID = f"SELECT {_CONVERSATION} FROM conversations WHERE id = ? AND account = ?"  # noqa: S608


def _missing(kind: str, name: str) -> NotFound:
    return NotFound(f"there is no {kind} {name[:80]!r}")


def _most(limit: int) -> int:
    if not 1 <= limit <= MAX_PAGE:
        raise BadRequest(f"limit: from 1 to {MAX_PAGE}", param="limit")
    return limit


def _conversation(row: Any) -> Conversation:
    name, title, created, updated, turns, size, metadata, _ = row
    return Conversation(
        id=name, title=title, created=created, updated=updated, turns=turns, bytes=size,
        metadata=msgspec.json.decode(metadata),
    )  # fmt: skip


def _as_turn(row: Any) -> Turn:
    turn = Turn(**dict(zip(_FIELDS, row, strict=True)))
    return structs.replace(turn, details=msgspec.json.decode(row[8], type=Details))


_FIELDS = (
    "id", "number", "conversation", "role", "content", "created", "node", "model", "details", "feedback", "comment",
)  # fmt: skip
