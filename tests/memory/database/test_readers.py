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


async def test_what_closes_for_a_caller_cancelled_twice_is_waited_for() -> None:
    begun, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    opened: list[sqlite3.Connection] = []

    def slow() -> bool:
        loop.call_soon_threadsafe(begun.set)
        return go.wait(10)

    def with_slow() -> sqlite3.Connection:
        opened.append(sqlite3.connect(":memory:", check_same_thread=False))
        opened[0].create_function("slow", 0, slow)
        return opened[0]

    async def ask() -> None:
        async with readers.lend() as connection:
            await connection.execute("SELECT slow()")

    readers = Readers(with_slow, 1)
    task = asyncio.create_task(ask())
    await begun.wait()
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert task.done()
    closing = asyncio.create_task(readers.close())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not closing.done()
    go.set()
    await closing
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


def test_where_nothing_opens_no_thread_outlives_the_loop() -> None:
    """It would tell a closed loop of its end, and die of that: pytest makes it a failure."""

    def fails() -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    async def ask() -> None:
        readers = Readers(fails, 1)
        with pytest.raises(sqlite3.OperationalError):
            await readers.lend().__aenter__()
        await readers.close()

    for _ in range(50):  # each would do it in every second run
        asyncio.run(ask())
