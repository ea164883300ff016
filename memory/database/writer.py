"""One thread, one connection, and group commit: calls that wait together share one transaction and one fsync.

An fsync costs 5 to 30 ms on an SD card and every commit rewrites whole flash pages, so ten turns that end together
must cost one. No timer is needed: while one commit syncs, the next calls gather.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

from mongarsd.ground.errors import Busy, StorageUnavailable

T = TypeVar("T")

Work = Callable[[sqlite3.Connection], T]

#: Calls in one transaction at most, so that the first of them does not wait for long.
GROUP = 256


class _Call(NamedTuple, Generic[T]):
    work: Work[T]
    alone: bool  # outside of any transaction
    future: asyncio.Future[T]


class _Outcome(NamedTuple):
    call: _Call[Any]
    value: Any
    error: BaseException | None


class Writer:
    """`start()`, `run(work)`, `close()`: idempotent, and it waits for all that was handed in before."""

    def __init__(self, open_connection: Callable[[], sqlite3.Connection], *, queue: int) -> None:
        self._open = open_connection
        self._most = queue
        self._waiting = 0
        self._calls: SimpleQueue[_Call[Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._held: list[_Call[Any] | None] = []  # taken from the queue, for the next round; the thread's own
        self._started = self._closed = False
        self.commits = 0  # transactions that wrote
        self.writes = 0  # calls in them

    @property
    def open(self) -> bool:
        return self._started and not self._closed

    async def start(self) -> None:
        """Raises whatever opening raises."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = loop.create_future()
        self._thread = threading.Thread(target=self._main, args=(loop, opened), name="memory.writer", daemon=True)
        self._thread.start()
        await opened
        self._started = True

    async def run(self, work: Work[T], *, alone: bool = False) -> T:
        """Returns when what `work` wrote is on disk. Once handed in it runs, also when the caller is cancelled."""
        if not self.open:
            raise StorageUnavailable("the database is closed")
        if self._waiting >= self._most:
            raise Busy(f"{self._waiting} writes wait for the disk already; try again", retry_after=2.0)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting += 1
        future.add_done_callback(self._taken)
        self._calls.put(_Call(work, alone, future))
        return await asyncio.shield(future)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._calls.put(None)
        if self._thread:
            await asyncio.to_thread(self._thread.join)

    def _taken(self, future: asyncio.Future[Any]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # the caller may be gone: nobody else will look

    def _main(self, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[None]) -> None:
        try:
            connection = self._open()
        except BaseException as error:
            _post(loop, opened, None, error)
            return
        _post(loop, opened, None, None)
        with contextlib.closing(connection):
            while batch := self._next():
                outcomes = _alone(connection, batch[0]) if batch[0].alone else self._commit(connection, batch)
                loop_done = [(done.call.future, done.value, done.error) for done in outcomes]
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(_deliver, loop_done)

    def _next(self) -> list[_Call[Any]]:
        """What waits now, up to the first call that must be alone; empty = the end."""
        first = self._held.pop() if self._held else self._calls.get()
        if first is None:
            return []
        batch = [first]
        while not first.alone and len(batch) < GROUP:
            try:
                call = self._calls.get_nowait()
            except Empty:
                break
            if call is None or call.alone:
                self._held.append(call)
                break
            batch.append(call)
        return batch

    def _commit(self, connection: sqlite3.Connection, batch: list[_Call[Any]]) -> list[_Outcome]:
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [_within(connection, call) for call in batch]
            if not connection.in_transaction:  # SQLite gave up the whole transaction: full disk, failed read or write
                raise next((done.error for done in outcomes if isinstance(done.error, sqlite3.Error)), _gone())
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(connection)
            return [_Outcome(call, None, error) for call in batch]
        self.commits += 1
        self.writes += len(batch)
        return outcomes


def _roll_back(connection: sqlite3.Connection) -> None:
    """A disk that fails even here must not end the thread: the next BEGIN fails then, and this is tried again."""
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _gone() -> sqlite3.Error:
    return sqlite3.OperationalError("a write ended the transaction it was part of")


def _within(connection: sqlite3.Connection, call: _Call[Any]) -> _Outcome:
    """A failure takes back what this call wrote, and nothing else."""
    if not connection.in_transaction:
        return _Outcome(call, None, _gone())
    connection.execute("SAVEPOINT call")
    try:
        outcome = _Outcome(call, call.work(connection), None)
    except Exception as error:
        outcome = _Outcome(call, None, error)
        if connection.in_transaction:
            connection.execute("ROLLBACK TO call")
    if connection.in_transaction:
        connection.execute("RELEASE call")
    return outcome


def _alone(connection: sqlite3.Connection, call: _Call[Any]) -> list[_Outcome]:
    try:
        return [_Outcome(call, call.work(connection), None)]
    except Exception as error:
        _roll_back(connection)
        return [_Outcome(call, None, error)]


def _post(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], value: Any, error: BaseException | None
) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(_deliver, [(future, value, error)])


def _deliver(outcomes: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, value, error in outcomes:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
