"""One TCP or Unix connection, with what aiohttp's lacks: limits, a header time-out, and an end for stalled readers.

A client that reads too slowly fills the socket's buffer, then the transport's; the transport pauses writing. Where the
client takes next to nothing for `write_timeout` meanwhile, the connection is cut, which cancels the handler, which
closes the executor's iterator, which frees the slot. One that is slow but reads is served for as long as it takes: how
much waits for it is bounded, how long is not. Nothing of this costs anything per token.

A header must be whole `header_timeout` after the connection was made, or after a later one began. What of it came with
the request before counts as nothing: then KEEP_ALIVE ends the connection, as any idle one.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import logging
import math
import socket
import struct
import termios
from collections.abc import Callable, Sequence
from typing import Any, cast

from aiohttp import web

from mongarsd.api import errors
from mongarsd.api.limits import Connections
from mongarsd.api.parts import Parts
from mongarsd.api.refused import Refused
from mongarsd.ground.errors import BadRequest

log = logging.getLogger(__name__)

#: Seconds an idle connection is kept; more than the 60 of the usual reverse proxy, so that it is the proxy who closes.
KEEP_ALIVE = 75.0
#: Seconds and no more to swallow the rest of a body that was refused, so that the answer is read before the reset.
LINGER = 2.0
#: Bytes of answer the kernel may hold for one client. Its own choice is up to 4 MB: minutes of tokens, times 256.
SEND_BUFFER = 128 * 1024
#: Bytes a client must take within `write_timeout`: 34 a second, less than an answer needs that is told word by word.
LEAST_READ = 1024
#: Looks at what it takes within that time: so many, for what waits may grow a little between two of them.
LOOKS = 6

#: Requests sent ahead of their answers. From a few more on aiohttp stops reading, and would not see the client leave:
#: its answer would keep a slot to the end.
MAX_PIPELINED = 16


class Deadline:
    __slots__ = ("_timer",)

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        return self._timer is not None

    def start(self, seconds: float, miss: Callable[[], None]) -> None:
        """0 = never."""
        self.stop()
        if seconds:
            self._timer = asyncio.get_running_loop().call_later(seconds, miss)

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


class Connection(web.RequestHandler):
    """`parts.settings` is read at every use, so limits change with a reload."""

    __slots__ = (
        "_address",
        "_connections",
        "_header",
        "_left",
        "_listener",
        "_moved",
        "_parts",
        "_refused",
        "_written",
    )

    def __init__(
        self, server: web.Server, parts: Parts, connections: Connections, refused: set[Refused], listener: str
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=KEEP_ALIVE,
            access_log=cast(logging.Logger, None),  # aiohttp: none; ours is `access.py`
            lingering_time=LINGER,
            auto_decompress=False,  # a compressed body is refused, not unpacked
        )
        self._parts = parts
        self._connections, self._refused = connections, refused
        self._listener = listener
        self._address = ""
        self._header = Deadline()  # runs while one is due
        self._written = Deadline()  # runs while the client is behind
        self._left, self._moved = 0, 0.0  # what waited for it when it was last seen to read, and when that was

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        settings = self._parts.settings.server
        stream = cast(asyncio.Transport, transport)
        self._address = address(stream)
        many = trusts(settings.trusted_proxies, self._address)  # clients behind one address
        admitted = self._connections.enter(
            self._address,
            most=settings.max_connections,
            most_each=settings.max_connections if many else settings.max_connections_per_client,
        )
        if not admitted:
            self._parts.http.refused.add(self._listener)
            stream.set_protocol(Refused(stream, self._refused))
            return
        self._parts.http.connections.set(self._connections.total, self._listener)
        _tune(stream, settings.write_timeout)
        super().connection_made(transport)
        self._header.start(settings.header_timeout, self._cut)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._header.stop()
        self._written.stop()
        self._connections.leave(self._address)
        self._parts.http.connections.set(self._connections.total, self._listener)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        idle, before = self._waiter is not None and not self._waiter.done(), self._request_count
        super().data_received(data)
        if self._request_count > before:
            self._header.stop()
        elif idle and not self._header.running:
            self._header.start(self._parts.settings.server.header_timeout, self._cut)
        if len(self._messages) >= MAX_PIPELINED and self.transport:
            log.info("cut the connection of %s: it does not wait for answers", self._address or "a local client")
            self.transport.abort()

    def close(self) -> None:
        """The node goes down: hear no more requests. A WebSocket is closed by who serves it; until then its client may
        cancel, answer pings, and confirm the end."""
        if self._payload_parser is None:
            super().close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._left, self._moved = unread(self.transport), self._loop.time()
        self._look_again()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._written.stop()

    def _look(self) -> None:
        """Does the client take anything of what waits for it?"""
        left = unread(self.transport)
        if left <= self._left - LEAST_READ:
            self._left, self._moved = left, self._loop.time()
        self._left = max(self._left, left)  # what was written before the writer waits, and pings
        if 0 < self._parts.settings.server.write_timeout <= self._loop.time() - self._moved:
            self._cut()
        else:
            self._look_again()

    def _look_again(self) -> None:
        self._written.start(self._parts.settings.server.write_timeout / LOOKS, self._look)

    def _cut(self) -> None:
        self._parts.http.stalled.add()
        log.info("cut the connection of %s: it sent or read too slowly", self._address or "a local client")
        if self.transport:
            self.transport.abort()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """aiohttp could not parse the request, or a handler failed outside of `errors.middleware`."""
        if request.writer.output_size:
            raise ConnectionResetError("the answer failed half-way")
        if status < 500:
            log.info("refused a malformed request of %s", self._address or "a local client")
            answer = errors.answer(BadRequest("this is not a valid HTTP request")).response()
        else:
            answer = errors.answer(exc or RuntimeError(message)).response()
        answer.headers["Server"] = "mongarsd"
        answer.force_close()
        return answer


def address(transport: asyncio.BaseTransport | None) -> str:
    """The client's IP address; empty for a Unix socket."""
    peer: Any = transport.get_extra_info("peername") if transport else None
    return str(peer[0]) if isinstance(peer, tuple) else ""


def unread(transport: asyncio.BaseTransport | None) -> int:
    """Bytes that were written and that the client's machine has not acknowledged; of a Unix socket, not read."""
    if transport is None or (file := transport.get_extra_info("socket").fileno()) < 0:
        return 0
    held: tuple[int] = struct.unpack("i", fcntl.ioctl(file, termios.TIOCOUTQ, bytes(4)))  # SIOCOUTQ: tcp(7), unix(7)
    return cast(asyncio.Transport, transport).get_write_buffer_size() + held[0]


def trusts(networks: Sequence[str], address: str) -> bool:
    """Is this IP address in one of the networks? Pure."""
    if not networks or not address:
        return False
    one = ipaddress.ip_address(address.partition("%")[0])
    one = (one.version == 6 and one.ipv4_mapped) or one
    return any(one in ipaddress.ip_network(network, strict=False) for network in networks)


def factory(server: web.Server, parts: Parts, listener: str, refused: set[Refused]) -> Callable[[], Connection]:
    """What a listening socket makes for each client. `listener` labels the metrics; `refused` are the clients that are
    one too many, while they last."""
    connections = Connections()
    return lambda: Connection(server, parts, connections, refused, listener)


def _tune(transport: asyncio.Transport, write_timeout: float) -> None:
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is None or sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    # A client that vanished without a word (lid closed, Wi-Fi gone) is noticed after this, not after 15 minutes. Twice,
    # for a full window is such a client to the kernel too, and who is there and does not read is to be cut and counted.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, math.ceil(2 * write_timeout * 1000))
