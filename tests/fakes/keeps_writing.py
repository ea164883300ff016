"""Stores turns as fast as it can, and says each when it is stored: something to kill."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mongarsd.ground.clock import SystemClock
from mongarsd.memory.conversations.types import NewTurn
from mongarsd.memory.room import Memory


async def main(state: Path) -> None:
    memory = Memory(state, SystemClock())
    await memory.start()

    async def talk() -> None:
        conversation = await memory.conversations.create("local")
        while True:
            turn = NewTurn(role="user", content="words " * 200)
            (stored,) = await memory.conversations.append("local", conversation.id, [turn])
            sys.stdout.write(f"{stored.id}\n")
            sys.stdout.flush()

    await asyncio.gather(*(talk() for _ in range(4)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
