"""Responses: what was answered to which input, both as turns of a conversation, and what else the client was told.

A conversation is a line. A response that goes on from one that is not the last, or whose conversation has a name of the
client's own, gets a conversation of its own, which begins with a copy of the turns up to there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import aiosqlite
from msgspec import Struct, structs

from mongarsd.ground.clock import Clock
from mongarsd.memory.conversations.rows import FROM, TURN, append, as_turn, create, find, missing, remove, row_of
from mongarsd.memory.conversations.types import NewTurn, Turn, new_id
from mongarsd.memory.database.database import Database
from mongarsd.memory.database.erase import erase

_SELECT = (
    "SELECT c.id, r.named, r.first, r.answer, r.body FROM responses r JOIN conversations c ON c.number = r.conversation"
    " WHERE r.id = ? AND r.account = ?"
)
_UP_TO = f"SELECT {TURN} {FROM} WHERE c.id = ? AND t.number <= ? ORDER BY t.number"
_BETWEEN = f"SELECT {TURN} {FROM} WHERE c.id = ? AND t.number BETWEEN ? AND ? ORDER BY t.number"
_NEWEST = f"SELECT {TURN} {FROM} WHERE c.id = ? AND t.number <= ? ORDER BY t.number DESC LIMIT ?"
_END = 2**62


class Saved(Struct, frozen=True, kw_only=True):
    conversation: str
    named: bool
    input: list[Turn]
    answer: Turn
    body: str  # JSON


class Responses:
    """Every verb takes the account, and none sees another's."""

    def __init__(self, database: Database, clock: Clock, *, grown: Callable[[], None]) -> None:
        """`grown` is called when a response was saved."""
        self._database, self._clock, self._grown = database, clock, grown

    async def save(
        self,
        account: str,
        response: str,
        body: str,
        turns: Sequence[NewTurn],
        *,
        conversation: str = "",
        previous: str = "",
        title: str = "",
    ) -> str:
        """On disk when this returns the conversation's id. The last turn is the answer; `conversation` is the one that
        the client named, `previous` the response that this one goes on from. Raises NotFound."""
        now = self._clock.wall()

        def work(connection: sqlite3.Connection) -> str:
            name = conversation or _after(connection, account, previous, now)
            if not name:
                name = create(connection, account, (), now, title=title).id
            stored = append(connection, account, name, turns, now)
            connection.execute(
                "INSERT INTO responses (id, account, conversation, named, first, answer, created, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    response, account, row_of(connection, account, name)[7], bool(conversation), stored[0].number,
                    stored[-1].number, now, body,
                ),
            )  # fmt: skip
            return name

        saved = await self._database.write(work)
        self._grown()
        return saved

    async def get(self, account: str, response: str) -> Saved:
        """Raises NotFound."""
        async with self._database.reader() as reader:
            name, named, first, answer, body = await _find(reader, account, response)
            turns = [as_turn(row) for row in await reader.execute_fetchall(_BETWEEN, (name, first, answer))]
        return Saved(conversation=name, named=bool(named), input=turns[:-1], answer=turns[-1], body=body)

    async def history(self, account: str, *, response: str = "", conversation: str = "", limit: int) -> list[Turn]:
        """What a model is told before a new input: the turns up to the response's answer, or all of the conversation's;
        the newest `limit`, oldest first. Raises NotFound."""
        async with self._database.reader() as reader:
            if response:
                conversation, _, _, last, _ = await _find(reader, account, response)
            else:
                await find(reader, account, conversation)
                last = _END
            found = await reader.execute_fetchall(_NEWEST, (conversation, last, limit))
        return [as_turn(row) for row in found][::-1]

    async def delete(self, account: str, response: str) -> None:
        """Its turns too, unless the client named their conversation. Raises NotFound."""

        def work(connection: sqlite3.Connection) -> None:
            name, named, first, answer, _ = _row(connection, account, response)
            connection.execute("DELETE FROM responses WHERE id = ?", (response,))
            if not named:
                gone = [as_turn(row) for row in connection.execute(_BETWEEN, (name, first, answer))]
                remove(connection, name, gone)
            erase(connection)

        await self._database.write(work)
        await self._database.checkpoint()


def _after(connection: sqlite3.Connection, account: str, previous: str, now: float) -> str:
    """The conversation in which what follows `previous` has its place; "" = a new one."""
    if not previous:
        return ""
    name, named, _, answer, _ = _row(connection, account, previous)
    number, title = connection.execute("SELECT number, title FROM conversations WHERE id = ?", (name,)).fetchone()
    (last,) = connection.execute("SELECT max(number) FROM turns WHERE conversation = ?", (number,)).fetchone()
    if last == answer and not named:
        return str(name)
    turns = [as_turn(row) for row in connection.execute(_UP_TO, (name, answer))]
    copies = [NewTurn(**{key: getattr(turn, key) for key in NewTurn.__struct_fields__}) for turn in turns]
    return create(connection, account, [structs.replace(one, id=new_id("msg")) for one in copies], now, title=title).id


def _row(connection: sqlite3.Connection, account: str, response: str) -> Any:
    if not (row := connection.execute(_SELECT, (response, account)).fetchone()):
        raise missing("response", response)
    return row


async def _find(reader: aiosqlite.Connection, account: str, response: str) -> Any:
    for row in await reader.execute_fetchall(_SELECT, (response, account)):
        return row
    raise missing("response", response)
