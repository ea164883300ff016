"""What administrators did: the newest MOST actions, nothing secret."""

from __future__ import annotations

import sqlite3

from mongarsd.memory.access.types import Action
from mongarsd.memory.database.database import Database

#: Rows kept, about 1 MB.
MOST = 10_000
#: Characters of a name that a client chose.
LONGEST = 160


class Audit:
    def __init__(self, database: Database, most: int = MOST) -> None:
        self._database, self._most = database, most

    async def record(self, action: Action) -> None:
        """Raises StorageUnavailable."""
        target = "".join(letter if letter.isprintable() else "?" for letter in action.target[:LONGEST])

        def work(connection: sqlite3.Connection) -> None:
            row = (action.at, action.who, action.what, target, action.status)
            number = connection.execute(
                "INSERT INTO audit (at, who, what, target, status) VALUES (?, ?, ?, ?, ?)", row
            ).lastrowid
            connection.execute("DELETE FROM audit WHERE number <= ?", ((number or 0) - self._most,))

        await self._database.write(work)

    async def newest(self, limit: int) -> list[Action]:
        async with self._database.reader() as reader:
            rows = await reader.execute_fetchall(
                "SELECT at, who, what, target, status FROM audit ORDER BY number DESC LIMIT ?", (limit,)
            )
            return [
                Action(at=at, who=who, what=what, target=target, status=status)
                for at, who, what, target, status in rows
            ]
