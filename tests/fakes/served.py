"""The API on a loopback port, over fakes."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from fakes.executor import FakeExecutor
from fakes.models import FakeModels, node_status

from mongarsd.api.app import make_app
from mongarsd.api.front import Front
from mongarsd.api.parts import Parts
from mongarsd.ground.clock import SystemClock
from mongarsd.ground.metrics import Metrics
from mongarsd.ground.settings import ModelSettings, ServerSettings, Settings
from mongarsd.ground.status import CacheStatus, CacheTier
from mongarsd.memory.room import Memory


class Served:
    """`client` speaks to it, `url` is where it is, `parts` what it was made of."""

    def __init__(self, parts: Parts, url: str, client: aiohttp.ClientSession) -> None:
        self.parts, self.url, self.client = parts, url, client
        self.executor: FakeExecutor = parts.executor  # type: ignore[assignment]
        self.models: FakeModels = parts.models  # type: ignore[assignment]

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    async def json(self, method: str, path: str, status: int = 200, **request: Any) -> Any:
        async with self.client.request(method, self.url + path, **request) as response:
            body = await response.json()
            assert response.status == status, body
            return body

    async def chat(self, status: int = 200, **fields: Any) -> Any:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], **fields}
        return await self.json("POST", "/v1/chat/completions", status, json=body)


class FakeCache:
    """Holds something until it is cleared."""

    def __init__(self) -> None:
        self.held = 5

    async def status(self) -> CacheStatus:
        return CacheStatus(directory="/state/cache/prefix", tiers=(CacheTier(name="disk", bytes=self.held),))

    async def clear(self) -> CacheStatus:
        self.held = 0
        return await self.status()


def fake_parts(executor: FakeExecutor | None = None, memory: Memory | None = None, **server: Any) -> Parts:
    """`memory`: an open one; without it nothing can be stored."""
    server = {"drain": 1.0, "header_timeout": 30.0, **server}  # on a busy machine a header may take its time
    return Parts(
        executor=executor or FakeExecutor(),
        models=FakeModels(),
        cache=FakeCache(),
        memory=memory or Memory(Path("/nowhere"), SystemClock()),
        settings=Settings(server=ServerSettings(**server), models=ModelSettings(default="tiny")),
        metrics=Metrics(),
        status=node_status,
        hostname="board",
    )


@asynccontextmanager
async def serve(
    executor: FakeExecutor | None = None,
    make: Callable[[Parts], web.Application] = make_app,
    *,
    parts: Parts | None = None,
    **server: Any,
) -> AsyncIterator[Served]:
    """`server`: settings of that section."""
    parts = parts or fake_parts(executor, **server)
    listening = socket.create_server(("127.0.0.1", 0))
    host, port = listening.getsockname()
    front = Front(make(parts), "tcp")
    await front.start([listening])
    try:
        async with aiohttp.ClientSession() as client:
            yield Served(parts, f"http://{host}:{port}", client)
    finally:
        await front.close()
