"""Server-sent events: one write for each event, pings while nothing happens, an error as the last event."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from types import TracebackType
from typing import cast

from aiohttp import web
from aiohttp.http import StreamWriter

from mongarsd.api import errors

DONE = b"data: [DONE]\n\n"
#: A comment: clients skip it, proxies and time-outs see that the connection lives.
PING = b": ping\n\n"
#: Ends of lines to clients that use Python's `str.splitlines` (httpx's `iter_lines`, so the ollama library), while JSON
#: lets them stand in a string.
_ENDS = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


def whole(event: bytes) -> bytes:
    """The same JSON, whose lines are lines to every client. 0.1 µs for ASCII, 0.8 with other letters (x86)."""
    if not event.isascii():
        for end, escape in _ENDS:
            event = event.replace(end, escape)
    return event


class EventStream:
    """The answer of one request. The header goes out with the first event or ping, whichever comes first, so that a
    job refused before that still gets its proper status. Several tasks may send; each event stays in one piece.

    Backpressure is the connection's: `send` waits while the client does not read, for `server.write_timeout` at most.
    """

    media = "text/event-stream; charset=utf-8"
    ping = PING

    def __init__(self, request: web.Request, interval: float, headers: Mapping[str, str] | None = None) -> None:
        self.response = web.StreamResponse(
            headers={
                "Content-Type": self.media,
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx: hand on at once
                **(headers or {}),
            }
        )
        self._request = request
        self._interval = interval  # seconds; 0 = no pings
        self._write: Callable[[bytes], Awaitable[None]] = self._begin
        self._last = monotonic()  # when something was sent
        self._pinger: asyncio.Task[None] | None = None

    async def __aenter__(self) -> EventStream:
        if self._interval:
            self._pinger = asyncio.create_task(self._ping(), name="api.stream.ping")
        return self

    def send(self, event: bytes) -> Awaitable[None]:
        """Raises ConnectionError when the client is gone."""
        self._last = monotonic()
        return self._write(whole(event))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """After the header an error is told as an event, and swallowed; before it `errors.middleware` answers it."""
        if self._pinger:
            self._pinger.cancel()
            await asyncio.wait({self._pinger})
        if not isinstance(error, Exception) or isinstance(error, ConnectionError) or not self.response.prepared:
            return False
        await self._writer.write(whole(self.failure(error)))
        return True

    def failure(self, error: Exception) -> bytes:
        """The last event."""
        return b"data: " + errors.answer(error).body + b"\n\n"

    @property
    def _writer(self) -> StreamWriter:
        return cast(StreamWriter, self._request.writer)

    async def _begin(self, event: bytes) -> None:
        """The header, then the event; the next ones go straight to the connection."""
        await self.response.prepare(self._request)
        self._write = self._writer.write
        await self._write(event)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(max(self._interval - (monotonic() - self._last), self._interval / 10))
            if monotonic() - self._last < self._interval:
                continue
            self._last = monotonic()
            try:
                await self.response.prepare(self._request)
                # Without drain: a task that is cancelled in a drain cancels it for the others too.
                await self._writer.write(self.ping, drain=False)
            except ConnectionError:
                return  # the handler is being cancelled
