"""Conversations and turns of an account. Every verb takes the account, and none sees another's."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import structs

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import BadRequest
from mongarsd.memory.conversations import cursor, fulltext
from mongarsd.memory.conversations.rows import (
    CONVERSATION,
    FROM,
    TURN,
    append,
    as_conversation,
    as_turn,
    create,
    find,
    find_turn,
    missing,
    row_of,
    shrink,
    size,
)
from mongarsd.memory.conversations.types import MAX_PAGE, Conversation, Details, Hit, NewTurn, Page, Turn
from mongarsd.memory.database.database import Database
from mongarsd.memory.database.erase import erase


class Conversations:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def create(
        self, account: str, turns: Sequence[NewTurn] = (), *, title: str = "", metadata: Mapping[str, str] | None = None
    ) -> Conversation:
        """A conversation with its first turns, all or nothing."""
        now = self._clock.wall()
        return await self._database.write(
            lambda connection: create(connection, account, turns, now, title=title, metadata=metadata)
        )

    async def of_chat(self, account: str, chat: str, *, title: str = "") -> tuple[Conversation, bool]:
        """The conversation that the client calls `chat`, and whether it was made now."""
        now = self._clock.wall()

        def work(connection: sqlite3.Connection) -> tuple[Conversation, bool]:
            query = "SELECT id FROM conversations WHERE account = ? AND chat = ?"
            if row := connection.execute(query, (account, chat)).fetchone():
                return as_conversation(row_of(connection, account, row[0])), False
            return create(connection, account, (), now, title=title, chat=chat), True

        return await self._database.write(work)

    async def append(self, account: str, conversation: str, turns: Sequence[NewTurn]) -> Sequence[Turn]:
        """On disk when this returns. Raises NotFound."""
        now = self._clock.wall()
        return await self._database.write(lambda connection: append(connection, account, conversation, turns, now))

    async def get(self, account: str, conversation: str) -> Conversation:
        """Raises NotFound."""
        async with self._database.reader() as reader:
            return as_conversation(await find(reader, account, conversation))

    async def some(self, account: str, conversations: Sequence[str]) -> dict[str, Conversation]:
        """Those that there are, by id."""
        async with self._database.reader() as reader:
            rows = await reader.execute_fetchall(
                f"SELECT {CONVERSATION} FROM conversations WHERE account = ?"  # noqa: S608
                " AND id IN (SELECT value FROM json_each(?))",
                (account, msgspec.json.encode(list(conversations)).decode()),
            )
        return {one.id: one for one in map(as_conversation, rows)}

    async def list(self, account: str, *, after: str = "", limit: int = 20) -> Page[Conversation]:
        """The one that was used last comes first. Raises BadRequest for a page that never was."""
        updated, number = cursor.read(after) if after else (float("inf"), 0)
        async with self._database.reader() as reader:
            rows = await reader.execute_fetchall(
                f"SELECT {CONVERSATION} FROM conversations WHERE account = ? AND (updated, number) < (?, ?)"  # noqa: S608
                " ORDER BY updated DESC, number DESC LIMIT ?",
                (account, updated, number, _most(limit) + 1),
            )
        found = list(rows)
        more = len(found) > limit
        last = found[limit - 1] if more else None
        return Page([as_conversation(row) for row in found[:limit]], cursor.write(last[3], last[7]) if last else "")

    async def turns(
        self, account: str, conversation: str, *, after: str = "", limit: int = 20, newest_first: bool = False
    ) -> Page[Turn]:
        """`after`: the id of a turn. Raises NotFound."""
        sign, order = ("<", "DESC") if newest_first else (">", "ASC")
        async with self._database.reader() as reader:
            owner = (await find(reader, account, conversation))[7]
            start = (await find_turn(reader, account, after))[1] if after else (2**62 if newest_first else 0)
            rows = await reader.execute_fetchall(
                f"SELECT {TURN} {FROM} WHERE t.conversation = ? AND t.number {sign} ?"
                f" ORDER BY t.number {order} LIMIT ?",
                (owner, start, _most(limit) + 1),
            )
        found = [as_turn(row) for row in rows]
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else "")

    async def turn(self, account: str, turn: str) -> Turn:
        """Raises NotFound."""
        async with self._database.reader() as reader:
            return as_turn(await find_turn(reader, account, turn))

    async def search(self, account: str, query: str, *, limit: int = 20) -> Sequence[Hit]:
        """Turns with all the words of `query`, whatever signs are in it. No words, no hits."""
        async with self._database.reader() as reader:
            return await fulltext.search(reader, account, query, _most(limit))

    async def change(
        self, account: str, conversation: str, *, title: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Conversation:
        """What was there before is overwritten in the file and gone from the log. Raises NotFound."""
        encoded = None if metadata is None else msgspec.json.encode(dict(metadata)).decode()

        def work(connection: sqlite3.Connection) -> Conversation:
            number = row_of(connection, account, conversation)[7]
            connection.execute(
                "UPDATE conversations SET title = coalesce(?, title), metadata = coalesce(?, metadata)"
                " WHERE number = ?",
                (title, encoded, number),
            )
            return as_conversation(row_of(connection, account, conversation))

        changed = await self._database.write(work)
        await self._database.checkpoint()
        return changed

    async def rate(self, account: str, turn: str, feedback: int, comment: str = "") -> Turn:
        """-1, 0 (none) or 1; in place of what was said before, which is overwritten. Raises NotFound, BadRequest."""
        if feedback not in (-1, 0, 1):
            raise BadRequest("feedback: -1, 0 or 1", param="feedback")

        def work(connection: sqlite3.Connection) -> str:
            row = connection.execute(f"SELECT {TURN} {FROM} WHERE t.id = ? AND t.account = ?", (turn, account))
            if not (found := row.fetchone()):
                raise missing("turn", turn)
            before = as_turn(found)
            connection.execute(
                "UPDATE turns SET feedback = ?, comment = ? WHERE number = ?", (feedback, comment, before.number)
            )
            connection.execute(
                "UPDATE conversations SET bytes = max(0, bytes + ?) WHERE id = ?",
                (size(structs.replace(before, comment=comment)) - size(before), before.conversation),
            )
            return before.comment

        if await self._database.write(work):
            await self._database.checkpoint()
        return await self.turn(account, turn)

    async def delete(self, account: str, conversation: str) -> None:
        """It, its turns, and what hangs on them: overwritten in the file and gone from the log. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> None:
            number = row_of(connection, account, conversation)[7]
            connection.execute("DELETE FROM conversations WHERE number = ?", (number,))
            erase(connection)

        await self._database.write(work)
        await self._database.checkpoint()

    async def delete_turn(self, account: str, turn: str) -> None:
        """Raises NotFound."""

        def work(connection: sqlite3.Connection) -> None:
            row = connection.execute(f"SELECT {TURN} {FROM} WHERE t.id = ? AND t.account = ?", (turn, account))
            if not (found := row.fetchone()):
                raise missing("turn", turn)
            gone = as_turn(found)
            connection.execute("DELETE FROM turns WHERE number = ?", (gone.number,))
            shrink(connection, gone.conversation, [gone])
            erase(connection)

        await self._database.write(work)
        await self._database.checkpoint()

    async def rewrite(self, account: str, turn: str, content: str, details: Details) -> None:
        """Keep less of a turn: what it no longer has is overwritten in the file. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> None:
            row = connection.execute(f"SELECT {TURN} {FROM} WHERE t.id = ? AND t.account = ?", (turn, account))
            if not (found := row.fetchone()):
                raise missing("turn", turn)
            before = as_turn(found)
            after = structs.replace(before, content=content, details=details)
            connection.execute(
                "UPDATE turns SET content = ?, details = ? WHERE number = ?",
                (content, msgspec.json.encode(details).decode(), before.number),
            )
            connection.execute(
                "UPDATE conversations SET bytes = max(0, bytes + ?) WHERE id = ?",
                (size(after) - size(before), before.conversation),
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


def _most(limit: int) -> int:
    if not 1 <= limit <= MAX_PAGE:
        raise BadRequest(f"limit: from 1 to {MAX_PAGE}", param="limit")
    return limit
