"""Conversations and turns as rows: what every write and read of them shares."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import aiosqlite
import msgspec
from msgspec import structs

from mongarsd.ground.errors import NotFound
from mongarsd.memory.accounts import ensure
from mongarsd.memory.conversations.types import Conversation, Details, NewTurn, Turn, new_id

CONVERSATION = "id, title, created, updated, turns, bytes, metadata, number"
TURN = "t.id, t.number, c.id, t.role, t.content, t.created, t.node, t.model, t.details, t.feedback, t.comment"
FROM = "FROM turns t JOIN conversations c ON c.number = t.conversation"

#: Bytes of a row beside its text, about; so that a million empty turns count too.
ROW = 100
BY_ID = f"SELECT {CONVERSATION} FROM conversations WHERE id = ? AND account = ?"  # noqa: S608


def create(
    connection: sqlite3.Connection,
    account: str,
    turns: Sequence[NewTurn],
    now: float,
    *,
    title: str = "",
    metadata: Mapping[str, str] | None = None,
    chat: str | None = None,
) -> Conversation:
    ensure(connection, account, now)
    name = new_id("conv")
    connection.execute(
        "INSERT INTO conversations (id, account, title, created, updated, metadata, chat) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (name, account, title, now, now, msgspec.json.encode(dict(metadata or {})).decode(), chat),
    )
    append(connection, account, name, turns, now)
    return as_conversation(row_of(connection, account, name))


def append(
    connection: sqlite3.Connection, account: str, conversation: str, turns: Sequence[NewTurn], now: float
) -> list[Turn]:
    number = row_of(connection, account, conversation)[7]
    stored = []
    for turn in turns:
        details = msgspec.json.encode(turn.details).decode()
        name = turn.id or new_id("msg")
        values = (name, number, account, turn.role, turn.content, now, turn.node, turn.model, details)
        done = connection.execute(
            "INSERT INTO turns (id, conversation, account, role, content, created, node, model, details)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        fields = structs.asdict(turn) | {"id": name, "number": done.lastrowid or 0}
        stored.append(Turn(conversation=conversation, created=now, **fields))
    if stored:
        connection.execute(
            "UPDATE conversations SET updated = max(updated, ?), turns = turns + ?, bytes = bytes + ? WHERE number = ?",
            (now, len(stored), sum(map(size, stored)), number),
        )
    return stored


def remove(connection: sqlite3.Connection, conversation: str, gone: Sequence[Turn]) -> None:
    """Delete these turns of it, and it, if no others are left."""
    connection.executemany("DELETE FROM turns WHERE number = ?", [(turn.number,) for turn in gone])
    shrink(connection, conversation, gone)
    connection.execute("DELETE FROM conversations WHERE id = ? AND turns = 0", (conversation,))


def shrink(connection: sqlite3.Connection, conversation: str, gone: Sequence[Turn]) -> None:
    """Its counts, once these turns of it are deleted. A title that was made of one of them goes too."""
    connection.execute(
        "UPDATE conversations SET turns = turns - ?, bytes = max(0, bytes - ?) WHERE id = ?",
        (len(gone), sum(map(size, gone)), conversation),
    )
    connection.executemany(
        "UPDATE conversations SET title = '' WHERE id = ? AND title != '' AND instr(?, title) = 1",
        [(conversation, turn.content) for turn in gone if turn.role == "user"],
    )


def size(turn: NewTurn) -> int:
    """Bytes in the file, about."""
    comment = turn.comment if isinstance(turn, Turn) else ""
    return len(turn.content.encode()) + len(comment.encode()) + len(msgspec.json.encode(turn.details)) + ROW


def row_of(connection: sqlite3.Connection, account: str, conversation: str) -> Any:
    row = connection.execute(BY_ID, (conversation, account)).fetchone()
    if not row:
        raise missing("conversation", conversation)
    return row


async def find(reader: aiosqlite.Connection, account: str, conversation: str) -> Any:
    for row in await reader.execute_fetchall(BY_ID, (conversation, account)):
        return row
    raise missing("conversation", conversation)


async def find_turn(reader: aiosqlite.Connection, account: str, turn: str) -> Any:
    query = f"SELECT {TURN} {FROM} WHERE t.id = ? AND t.account = ?"
    for row in await reader.execute_fetchall(query, (turn, account)):
        return row
    raise missing("turn", turn)


def missing(kind: str, name: str) -> NotFound:
    return NotFound(f"there is no {kind} {name[:80]!r}")


def as_conversation(row: Any) -> Conversation:
    name, title, created, updated, turns, size, metadata, _ = row
    return Conversation(
        id=name, title=title, created=created, updated=updated, turns=turns, bytes=size,
        metadata=msgspec.json.decode(metadata),
    )  # fmt: skip


def as_turn(row: Any) -> Turn:
    turn = Turn(**dict(zip(_FIELDS, row, strict=True)))
    return structs.replace(turn, details=msgspec.json.decode(row[8], type=Details))


_FIELDS = (
    "id", "number", "conversation", "role", "content", "created", "node", "model", "details", "feedback", "comment",
)  # fmt: skip
