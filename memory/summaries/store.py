"""Summaries as rows, one of a conversation; never of turns that are gone or were rewritten: triggers see to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import aiosqlite

from mongarsd.memory.conversations.rows import FROM, TURN, as_turn, size
from mongarsd.memory.conversations.types import Turn
from mongarsd.memory.summaries.types import Summary, Written

#: Turns that are looked at, at most: several contexts of them.
TURNS = 2000
#: Conversations that are looked at, at most.
CONVERSATIONS = 1000

_SUMMARY = "SELECT text, through, bytes, model, tokens FROM summaries WHERE conversation = ?"
#: Only responses are told a summary, so a conversation without one needs none.
_LONG = (
    "SELECT c.number, c.bytes FROM conversations c LEFT JOIN summaries s ON s.conversation = c.number"
    " WHERE c.bytes - coalesce(s.bytes, 0) > ? AND EXISTS (SELECT 1 FROM responses r WHERE r.conversation = c.number)"
    " ORDER BY c.bytes - coalesce(s.bytes, 0) DESC, c.number LIMIT ?"
)
_BEYOND = f"SELECT {TURN} {FROM} WHERE t.conversation = ? AND t.number > ? ORDER BY t.number LIMIT ?"


class Long(NamedTuple):
    """A conversation that may need a summary."""

    number: int
    bytes: int


class Read(NamedTuple):
    """`turns` are in no summary yet, oldest first."""

    before: Summary | None
    turns: list[Turn]


async def of(reader: aiosqlite.Connection, account: str, conversation: str) -> Summary | None:
    rows = await reader.execute_fetchall(
        "SELECT s.text, s.through, s.bytes, s.model, s.tokens FROM summaries s"
        " JOIN conversations c ON c.number = s.conversation WHERE c.id = ? AND c.account = ?",
        (conversation, account),
    )
    return next((Summary(*row) for row in rows), None)


async def count(reader: aiosqlite.Connection) -> int:
    ((number,),) = await reader.execute_fetchall("SELECT count(*) FROM summaries")
    return int(number)


async def long(reader: aiosqlite.Connection, least: int) -> list[Long]:
    """Those with more than `least` bytes that are in no summary, the longest first. A token has at least a byte."""
    return [Long(*row) for row in await reader.execute_fetchall(_LONG, (least, CONVERSATIONS))]


async def read(reader: aiosqlite.Connection, conversation: int) -> Read:
    before = next((Summary(*row) for row in await reader.execute_fetchall(_SUMMARY, (conversation,))), None)
    through = before.through if before else 0
    rows = await reader.execute_fetchall(_BEYOND, (conversation, through, TURNS))
    return Read(before, [as_turn(row) for row in rows])


def store(
    connection: sqlite3.Connection, conversation: int, before: Summary | None, turns: Sequence[Turn], new: Written
) -> bool:
    """Part of a write: `new` was made of `before` and `turns`. False when these are no longer what they were: then
    nothing is stored, for somebody wanted to have something forgotten."""
    row = connection.execute(_SUMMARY, (conversation,)).fetchone()
    through = before.through if before else 0
    now = [as_turn(one) for one in connection.execute(_BEYOND, (conversation, through, len(turns)))]
    if (Summary(*row) if row else None) != before or list(map(_said, now)) != list(map(_said, turns)):
        return False
    total = (before.bytes if before else 0) + sum(map(size, turns))
    connection.execute(
        "INSERT OR REPLACE INTO summaries (conversation, through, bytes, model, tokens, text)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (conversation, turns[-1].number, total, new.model, new.tokens, new.text),
    )
    return True


def _said(turn: Turn) -> tuple[object, ...]:
    return turn.number, turn.role, turn.content, turn.details
