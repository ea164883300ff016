from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest

from mongarsd.memory.database.readers import Readers


@pytest.mark.parametrize("fails", [False, True])
async def test_what_opens_for_a_cancelled_caller_is_closed(fails: bool) -> None:
    begun, go = threading.Event(), threading.Event()
    opened: list[sqlite3.Connection] = []

    def slowly() -> sqlite3.Connection:
        begun.set()
        assert go.wait(10)
        if fails:
            raise sqlite3.OperationalError("unable to open database file")
        opened.append(sqlite3.connect(":memory:", check_same_thread=False))
        return opened[0]

    readers = Readers(slowly, 1)
    task = asyncio.create_task(readers.lend().__aenter__())
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(opened) == (not fails)
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    await readers.close()
