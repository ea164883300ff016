"""The API with its WebSocket sessions within reach, and a clock that moves when told."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web
from fakes.executor import FakeExecutor
from fakes.served import Served, fake_parts, serve
from fakes.sockets import Socket, connect

from mongarsd.api.app import make_app
from mongarsd.api.parts import Parts
from mongarsd.api.ws.hub import HUB, Hub
from mongarsd.ground.clock import FakeClock
from mongarsd.ground.metrics import Metrics
from mongarsd.memory.room import Memory


class Board(NamedTuple):
    served: Served
    hub: Hub
    clock: FakeClock

    @property
    def executor(self) -> FakeExecutor:
        return self.served.executor

    @property
    def at(self) -> tuple[aiohttp.ClientSession, str]:
        return self.served.client, self.served.url

    def connect(self, session: str = "", after: int = 0, **options: Any) -> AbstractAsyncContextManager[Socket]:
        return connect(*self.at, session, after, **options)

    def closes(self, reason: str) -> int:
        return int(self.served.parts.http.sockets_closed[(reason,)])


@asynccontextmanager
async def board(
    executor: FakeExecutor | None = None,
    memory: Memory | None = None,
    make: Callable[[Parts], web.Application] = make_app,
    **server: Any,
) -> AsyncIterator[Board]:
    """`server`: settings of that section. At the end no task and no socket may be left."""
    clock, hubs = FakeClock(), list[Hub]()
    parts = dataclasses.replace(fake_parts(executor, memory, **server), clock=clock, metrics=Metrics())

    def made(parts: Parts) -> web.Application:
        app = make(parts)
        hubs.append(app[HUB])
        return app

    async with serve(parts=parts, make=made) as served:
        yield Board(served, hubs[0], clock)
    assert not hubs[0].tasks
    assert parts.http.sockets[()] == 0


def key(account: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {account}"}


def hashes(*keys: str) -> tuple[str, ...]:
    """As `server.key_hashes` has them."""
    return tuple(f"sha256:{hashlib.sha256(one.encode()).hexdigest()}" for one in keys)
