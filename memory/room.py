"""The room as the daemon sees it: one database, and what is kept in it."""

from __future__ import annotations

from pathlib import Path

from mongarsd.ground.clock import Clock
from mongarsd.memory.accounts import Accounts
from mongarsd.memory.conversations.store import Conversations
from mongarsd.memory.database.database import Database

FILE = "mongars.db"


class Memory:
    """`start()`, `close()`. Everything else may be called before: it raises StorageUnavailable."""

    def __init__(self, state: Path, clock: Clock) -> None:
        self.database = Database(state / FILE, clock=clock)
        self.accounts = Accounts(self.database, clock)
        self.conversations = Conversations(self.database, clock)

    async def start(self) -> None:
        """Raises StorageUnavailable."""
        await self.database.start()

    async def close(self) -> None:
        await self.database.close()
