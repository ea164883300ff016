"""An application on listening sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from aiohttp import web

from mongarsd.api.connection import factory
from mongarsd.api.parts import PARTS
from mongarsd.api.refused import Refused


class Front:
    """Serves `app` on bound sockets. `close()` stops listening, drains, then cuts; it may be called twice.

    `listener` labels the metrics; every Front counts its own connections, so a full TCP port never locks out the
    control socket.
    """

    def __init__(self, app: web.Application, listener: str) -> None:
        self._parts = app[PARTS]
        self._listener = listener
        self._servers: list[asyncio.Server] = []
        self._refused: set[Refused] = set()
        # handler_cancellation: a client that goes away cancels its handler, in every phase.
        self._runner = web.AppRunner(
            app, handle_signals=False, handler_cancellation=True, shutdown_timeout=self._parts.settings.server.drain
        )

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        await self._runner.setup()
        assert self._runner.server is not None
        make = factory(self._runner.server, self._parts, self._listener, self._refused)
        loop = asyncio.get_running_loop()
        for sock in sockets:
            create = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
            self._servers.append(await create(make, sock=sock))

    async def close(self) -> None:
        """Running requests get `server.drain` seconds."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for client in self._refused:
            client.close()
        await self._runner.cleanup()
