"""One session: its events, what it is doing, and the socket that reads it now, if there is one."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from mongarsd.api.credentials import Identity
from mongarsd.api.ws.closing import SLOW, Reason
from mongarsd.api.ws.envelope import AROUND, failure, numbered
from mongarsd.api.ws.log import Log
from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import BadRequest, Busy, NotFound
from mongarsd.ground.tasks import Tasks

#: Commands that run at the same time.
MOST_RUNNING = 8
#: Seconds in which a reader must take what is in the way of a large event. One that reads at all needs far less; the
#: model waits as long, and no longer.
GRACE = 2.0
#: Bytes that wait for a reader before a replay waits too: a quarter of what may wait.
REPLAY_AHEAD = 64 * 1024


class Running(Protocol):
    """A command that takes a while."""

    @property
    def lasting(self) -> bool:
        """A node that goes down waits for it."""
        ...

    async def run(self) -> None:
        """Raises what is to be told as an error event."""
        ...

    def stop(self) -> None:
        """End soon: say a last word, and store what is to be stored."""
        ...

    @property
    def stopped(self) -> bool:
        """It was asked to end."""
        ...


class Reader(Protocol):
    """A socket as its session sees it."""

    def close(self, reason: Reason) -> None:
        """Once is enough; returns at once."""
        ...

    def tell(self, frame: bytes) -> None:
        """Send it beside the numbered events, unless a newer one comes first."""
        ...


class Session:
    def __init__(self, name: str, who: Identity, clock: Clock, tasks: Tasks) -> None:
        self.name, self.who = name, who
        self.log = Log()
        self.reader: Reader | None = None
        self.sent = 0  # the last event that the reader was sent
        self.lost = clock.monotonic()  # when there was no reader any more
        self.subscription = ""  # the id of the node.subscribe, "" = none
        #: Something is to be sent; there is nothing that a reader has still to be sent; there is a reader.
        self.wake, self.caught_up, self._attached = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._clock, self._tasks = clock, tasks
        self._running: dict[str, tuple[Running, asyncio.Task[None]]] = {}

    def attach(self, reader: Reader, who: Identity, after: int) -> None:
        """From now on `reader` is sent the events after `after`, or what is kept of them."""
        self.reader, self.who = reader, who
        self.sent = max(after, self.log.first - 1)
        self._attached.set()
        self.caught_up.clear()
        self.wake.set()

    def detach(self, reader: Reader) -> None:
        """Does nothing if it was replaced."""
        if self.reader is reader:
            self.reader = None
            self.lost = self._clock.monotonic()
            self._attached.clear()
            self.caught_up.set()

    def next(self) -> bytes | None:
        """The frame that the reader is to be sent now; it counts as sent. None: wait for `wake`."""
        if frame := self.log.get(self.sent + 1):
            self.sent += 1
            return frame
        self.wake.clear()
        self.caught_up.set()
        return None

    async def send(self, events: Iterable[bytes], name: str = "") -> None:
        """JSON events, caused by the command `name`. They are in the log when this returns or is cancelled."""
        left = deque(events)
        try:
            while left:
                if self.reader and not self._fits(len(left[0])):
                    await self._room(len(left[0]))
                self._append(left.popleft(), name)
        finally:
            for event in left:
                self._append(event, name)

    async def flow(self, size: int) -> None:
        """Wait until there is a reader who is not far behind, and who an event of so many bytes would not put off."""
        while self.reader is None or self.log.after(self.sent) > REPLAY_AHEAD or not self._fits(size):
            await self._attached.wait()
            await self.caught_up.wait()

    def trim(self) -> None:
        """Forget what is too old, and a reader who was not sent what is forgotten."""
        self.log.trim(self._clock.monotonic())
        self._look()

    def check(self, name: str) -> None:
        """May a command of this id be started? Raises BadRequest, Busy."""
        if name in self._running:
            raise BadRequest(f"id: {name} is the id of a command that still runs", param="id")
        if len(self._running) >= MOST_RUNNING:
            raise Busy(f"{MOST_RUNNING} commands of this session are running; wait for one, or cancel it")

    async def place(self) -> None:
        """Wait, where none is free, for one of a command that was stopped: it still has its last word to say."""
        ending = [task for work, task in self._running.values() if work.stopped]
        if ending and len(self._running) >= MOST_RUNNING:
            await asyncio.wait(ending, timeout=GRACE, return_when=asyncio.FIRST_COMPLETED)

    def start(self, name: str, work: Running) -> None:
        """Raises BadRequest, Busy."""
        self.check(name)
        self._running[name] = work, self._tasks.spawn("command", self._run(name, work))

    def cancel(self, name: str) -> None:
        """Raises NotFound."""
        if name not in self._running:
            raise NotFound(f"id: no command {name} is running", param="id")
        self._running[name][0].stop()

    def stop(self) -> None:
        """Everything that runs, soon."""
        for work, _ in self._running.values():
            work.stop()

    async def idle(self) -> None:
        """Wait until nothing runs that is worth it, and until the reader has been sent the last word."""
        for work, _ in self._running.values():
            if not work.lasting:
                work.stop()
        if self._running:
            await asyncio.wait([task for _, task in self._running.values()])
        with contextlib.suppress(TimeoutError):
            if self.reader:
                await asyncio.wait_for(self.caught_up.wait(), GRACE)

    @property
    def running(self) -> list[str]:
        """Ids of the commands."""
        return list(self._running)

    async def _run(self, name: str, work: Running) -> None:
        try:
            await work.run()
        except Exception as error:
            await self.send([failure(error)], name)
        finally:
            del self._running[name]

    async def _room(self, size: int) -> None:
        """Wait until an event of so many bytes fits, or it is plain that the reader is too slow."""
        with contextlib.suppress(TimeoutError):  # then what is added now is too much
            async with asyncio.timeout(GRACE):
                while self.reader and not self._fits(size):
                    await self.caught_up.wait()

    def _fits(self, size: int) -> bool:
        return self.log.fits(size + AROUND, self.sent)

    def _append(self, event: bytes, name: str) -> None:
        self.log.append(numbered(self.log.last + 1, name, event), self._clock.monotonic())
        if self.reader:
            self.caught_up.clear()
            self.wake.set()
            self._look()

    def _look(self) -> None:
        if self.reader and self.sent + 1 < self.log.first:
            self.reader.close(SLOW)
            self.detach(self.reader)
