"""Chat completions: which turn of a conversation is the answer of which, and what its client says of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import aiosqlite
import msgspec
from msgspec import Struct

from mongarsd.ground.clock import Clock
from mongarsd.memory.conversations.rows import FROM, TURN, append, as_turn, find_turn, missing, remove
from mongarsd.memory.conversations.types import NewTurn, Page, Turn
from mongarsd.memory.database.database import Database
from mongarsd.memory.database.erase import erase

_SELECT = (
    f"SELECT {TURN}, p.id, p.created, p.metadata, p.first, p.last"  # noqa: S608
    " FROM completions p JOIN turns t ON t.number = p.answer JOIN conversations c ON c.number = t.conversation"
    " WHERE p.account = ?"
)
_ONE = f"{_SELECT} AND p.id = ?"
_SOME = (
    f"{_SELECT} AND (? = '' OR t.model = ?)"  # noqa: S608
    " AND NOT EXISTS (SELECT 1 FROM json_each(?) AS wanted WHERE NOT EXISTS"
    " (SELECT 1 FROM json_each(p.metadata) AS has WHERE has.key = wanted.key AND has.value = wanted.value))"
)


class Completion(Struct, frozen=True, kw_only=True):
    id: str
    created: float  # seconds since the epoch: when it was asked for
    metadata: dict[str, str]
    answer: Turn
    first: int  # of the turns that came with the question; up to `last`, none if that is less
    last: int


class Completions:
    """Every verb takes the account, and none sees another's. All but `save` raise NotFound for what is not there."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def save(
        self,
        account: str,
        completion: str,
        conversation: str,
        question: Sequence[str],
        answer: NewTurn,
        *,
        created: float,
        metadata: Mapping[str, str],
    ) -> None:
        """On disk when this returns. `question`: the ids of turns that are. Raises NotFound for the conversation."""
        now = self._clock.wall()

        def work(connection: sqlite3.Connection) -> None:
            (stored,) = append(connection, account, conversation, [answer], now)
            first, last = connection.execute(
                "SELECT min(number), max(number) FROM turns WHERE id IN (SELECT value FROM json_each(?))",
                (_json(list(question)),),
            ).fetchone()
            if first is None:
                first, last = stored.number, stored.number - 1
            connection.execute(
                "INSERT INTO completions (answer, id, account, first, last, created, metadata)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (stored.number, completion, account, first, last, created, _json(dict(metadata))),
            )

        await self._database.write(work)

    async def get(self, account: str, completion: str) -> Completion:
        async with self._database.reader() as reader:
            return await _find(reader, account, completion)

    async def page(
        self,
        account: str,
        *,
        model: str = "",
        metadata: Mapping[str, str] | None = None,
        after: str = "",
        limit: int = 20,
        newest_first: bool = False,
    ) -> Page[Completion]:
        """Those of this model, and with all of this metadata. `after`: the id of one."""
        sign, order = ("<", "DESC") if newest_first else (">", "ASC")
        async with self._database.reader() as reader:
            start = (await _find(reader, account, after)).answer.number if after else _before(newest_first)
            rows = await reader.execute_fetchall(
                f"{_SOME} AND p.answer {sign} ? ORDER BY p.answer {order} LIMIT ?",
                (account, model, model, _json(dict(metadata or {})), start, limit + 1),
            )
        found = [_completion(row) for row in rows]
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else "")

    async def messages(
        self, account: str, completion: str, *, after: str = "", limit: int = 20, newest_first: bool = False
    ) -> Page[Turn]:
        """What was said up to the answer, as far as it is stored. `after`: the id of a turn."""
        sign, order = ("<", "DESC") if newest_first else (">", "ASC")
        async with self._database.reader() as reader:
            found = await _find(reader, account, completion)
            start = (await find_turn(reader, account, after))[1] if after else _before(newest_first)
            rows = await reader.execute_fetchall(
                f"SELECT {TURN} {FROM} WHERE c.id = ? AND t.number <= ? AND t.number {sign} ?"
                f" ORDER BY t.number {order} LIMIT ?",
                (found.answer.conversation, found.last, start, limit + 1),
            )
        turns = [as_turn(row) for row in rows]
        return Page(turns[:limit], turns[limit - 1].id if len(turns) > limit else "")

    async def change(self, account: str, completion: str, metadata: Mapping[str, str]) -> Completion:
        """What was there before is overwritten in the file and gone from the log."""
        encoded = _json(dict(metadata))

        def work(connection: sqlite3.Connection) -> None:
            query = "UPDATE completions SET metadata = ? WHERE id = ? AND account = ?"
            if not connection.execute(query, (encoded, completion, account)).rowcount:
                raise _missing(completion)

        await self._database.write(work)
        await self._database.checkpoint()
        return await self.get(account, completion)

    async def delete(self, account: str, completion: str) -> None:
        """Its answer and what came with its question, overwritten in the file and gone from the log; its conversation
        too, if nothing else is in it."""

        def work(connection: sqlite3.Connection) -> None:
            if not (row := connection.execute(_ONE, (account, completion)).fetchone()):
                raise _missing(completion)
            found = _completion(row)
            conversation = found.answer.conversation
            rows = connection.execute(
                f"SELECT {TURN} {FROM} WHERE c.id = ? AND (t.number BETWEEN ? AND ? OR t.number = ?)",
                (conversation, found.first, found.last, found.answer.number),
            )
            remove(connection, conversation, [as_turn(row) for row in rows.fetchall()])
            erase(connection)

        await self._database.write(work)
        await self._database.checkpoint()


def _completion(row: Any) -> Completion:
    *turn, name, created, metadata, first, last = row
    decoded = msgspec.json.decode(metadata)
    return Completion(id=name, created=created, metadata=decoded, answer=as_turn(turn), first=first, last=last)


async def _find(reader: aiosqlite.Connection, account: str, completion: str) -> Completion:
    for row in await reader.execute_fetchall(_ONE, (account, completion)):
        return _completion(row)
    raise _missing(completion)


def _missing(completion: str) -> Exception:
    return missing("stored chat completion", completion)


def _before(newest_first: bool) -> int:
    """Every number of a turn follows it."""
    return 2**62 if newest_first else 0


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
