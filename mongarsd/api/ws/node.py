"""node.status: what the node does, told to those who asked whenever something changed that matters.

One task samples for all of them, and only while a socket of one is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mongarsd.api.ws.envelope import unnumbered
from mongarsd.api.ws.session import Session
from mongarsd.ground.clock import Clock
from mongarsd.ground.status import ModelStatus, NodeStatus
from mongarsd.ground.tasks import Tasks

#: Seconds between two samples, and between two events when nothing changes.
SAMPLE, LONGEST = 1.0, 30.0

_encode = msgspec.json.Encoder().encode


def gist(status: NodeStatus) -> Any:
    """What matters: two statuses that differ in nothing else (uptime, memory, temperature, rates) are told as one."""
    return status.warnings, status.board.throttled, tuple(map(_gist, status.models))


def _gist(model: ModelStatus) -> Any:
    return (
        *(model.name, model.digest, model.state, model.error, model.warnings),
        *(model.slots, model.busy_slots, model.queued, model.context, model.threads, model.reduced, model.restarts),
    )


class Node:
    """`status` is cheap; `sessions` are all there are."""

    def __init__(
        self,
        status: Callable[[], NodeStatus],
        sessions: Callable[[], Sequence[Session]],
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._status, self._sessions, self._clock, self._tasks = status, sessions, clock, tasks
        self._told: Any = None
        self._at = 0.0
        self._sampler: asyncio.Task[None] | None = None

    def subscribe(self, session: Session, name: str) -> None:
        session.subscription = name
        self.greet(session)

    def greet(self, session: Session) -> None:
        """A session that has a subscription has a socket now."""
        _tell(session, _event(self._status()))
        if self._sampler is None or self._sampler.done():
            self._sampler = self._tasks.spawn("node", self._sample())

    def tick(self) -> None:
        """Tell everybody, if there is something to tell."""
        status, now = self._status(), self._clock.monotonic()
        found = gist(status)
        if found == self._told and now < self._at + LONGEST:
            return
        self._told, self._at = found, now
        event = _event(status)
        for session in self._subscribed():
            _tell(session, event)

    def _subscribed(self) -> list[Session]:
        return [one for one in self._sessions() if one.subscription and one.reader]

    async def _sample(self) -> None:
        while self._subscribed():
            self.tick()
            await asyncio.sleep(SAMPLE)


def _event(status: NodeStatus) -> bytes:
    return b'{"type":"node.status","status":%b}' % _encode(status)


def _tell(session: Session, event: bytes) -> None:
    if session.reader:
        session.reader.tell(unnumbered(event, session.subscription))
