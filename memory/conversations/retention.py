"""What an account no longer wants to be kept goes: too old, or beyond its bytes, the oldest first."""

from __future__ import annotations

import sqlite3

import msgspec

from mongarsd.memory.accounts import AccountSettings
from mongarsd.memory.database.database import Database
from mongarsd.memory.database.erase import erase

_OLD = "DELETE FROM conversations WHERE account = ? AND updated < ?"
_BEYOND = """
DELETE FROM conversations WHERE number IN (
    SELECT number FROM (
        SELECT number, sum(bytes) OVER (ORDER BY updated DESC, number DESC) AS total
        FROM conversations WHERE account = ?
    ) WHERE total > ?
)
"""


def expire(connection: sqlite3.Connection, now: float) -> int:
    """Part of a write. How many conversations went."""
    gone = 0
    for account, encoded in connection.execute("SELECT id, settings FROM accounts").fetchall():
        settings = msgspec.json.decode(encoded, type=AccountSettings)
        if settings.max_age:
            gone += connection.execute(_OLD, (account, now - settings.max_age)).rowcount
        if settings.max_bytes:
            gone += connection.execute(_BEYOND, (account, settings.max_bytes)).rowcount
    if gone:
        erase(connection)
    return gone


async def retain(database: Database, now: float) -> int:
    """For every account. Raises StorageUnavailable."""
    gone = await database.write(lambda connection: expire(connection, now))
    if gone:
        await database.checkpoint()
    return gone
