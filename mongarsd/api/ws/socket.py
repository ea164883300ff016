"""One WebSocket of a session: a loop that reads commands, and a task that writes events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import WSMsgType, web

from mongarsd.api.connection import unread
from mongarsd.api.ws import envelope
from mongarsd.api.ws.closing import CLIENT, FLOOD, LOST, TOO_LARGE, Reason
from mongarsd.api.ws.dispatch import Dispatcher
from mongarsd.api.ws.hub import Hub
from mongarsd.api.ws.session import Session

HEARTBEAT = 30.0  # seconds
MAX_MESSAGE = 1024 * 1024  # bytes


class Beating(web.WebSocketResponse):
    """A ping waits behind all that was written before it: until the client has taken that, its pong is not overdue. Who
    takes nothing is cut by its connection."""

    def _pong_not_received(self) -> None:
        if self._req is not None and unread(self._req.transport):
            self._pong_response_cb = asyncio.get_running_loop().call_later(HEARTBEAT / 2, self._pong_not_received)
        else:
            super()._pong_not_received()

    def beat_no_more(self) -> None:
        """Call at the end: where the client reset the connection, aiohttp leaves the timer of the next ping, and that
        holds all of the request."""
        self._cancel_heartbeat()


def upgrade() -> Beating:
    """Without deflate, which takes up to 300 kB a socket."""
    return Beating(heartbeat=HEARTBEAT, compress=False, max_msg_size=MAX_MESSAGE, decode_text=False)


class Socket:
    def __init__(self, hub: Hub, session: Session, ws: Beating) -> None:
        """`ws`: prepared."""
        self._hub, self._session, self._ws = hub, session, ws
        self._reason: Reason | None = None
        self._aside = b""

    async def serve(self, first: Sequence[bytes]) -> None:
        """Until it is closed. The session is attached to it; the frames `first` come before its events."""
        metrics = self._hub.parts.http
        metrics.sockets.set(metrics.sockets[()] + 1)
        writer = self._hub.tasks.spawn("writer", self._write(first))
        try:
            await self._read()
        finally:
            writer.cancel()
            self._ws.beat_no_more()
            self._session.detach(self)
            self._hub.left(self._session)
            metrics.sockets.set(metrics.sockets[()] - 1)
            metrics.sockets_closed.add((self._reason or self._why()).word)

    def close(self, reason: Reason) -> None:
        if self._reason is None and not self._ws.closed:
            self._reason = reason
            self._hub.tasks.spawn("close", self._close(reason))

    def tell(self, frame: bytes) -> None:
        self._aside = frame
        self._session.wake.set()

    async def _read(self) -> None:
        dispatcher = Dispatcher(self._hub, self._session)
        async for message in self._ws:
            if self._session.reader is not self:
                break  # what its successor was told runs is all that will
            if message.type is WSMsgType.ERROR:
                if getattr(message.data, "code", 0) == TOO_LARGE.code:
                    self._reason = TOO_LARGE
                break
            answer = await dispatcher.take(message.data, text=message.type is WSMsgType.TEXT)
            if answer:
                await self._ws.send_frame(answer, WSMsgType.TEXT)
            if dispatcher.flooded:
                self._reason = FLOOD
                await self._close(FLOOD)  # here, so that nothing more is read

    async def _write(self, first: Sequence[bytes]) -> None:
        """`send_frame` waits while the transport is full, at 128 KiB and a frame; what waits longer is in the log."""
        session = self._session
        try:
            for frame in first:
                await self._ws.send_frame(frame, WSMsgType.TEXT)
            while session.reader is self:
                if self._aside:
                    aside, self._aside = self._aside, b""
                    await self._ws.send_frame(aside, WSMsgType.TEXT)
                elif event := session.next():
                    await self._ws.send_frame(event, WSMsgType.TEXT)
                else:
                    await session.wake.wait()
        except ConnectionError:
            pass  # the reading loop ends too

    async def _close(self, reason: Reason) -> None:
        """Without waiting for a reader that may never read: the connection ends when its buffer is empty, or when
        nothing of it was taken for `server.write_timeout`."""
        await self._ws.close(code=reason.code, message=reason.text.encode(), drain=False)

    def _why(self) -> Reason:
        """Nobody here closed it."""
        return LOST if self._ws.close_code in (None, LOST.code) else CLIENT


def opened(session: Session, *, resumed: bool, after: int, keep: int) -> bytes:
    """`running` and `last` tell a client that comes back what has become of the commands it sent: what does not run
    has said its last word by event `last`, or was never received."""
    return envelope.unnumbered(
        envelope.event(
            "session.opened",
            session=session.name,
            resumed=resumed,
            keep=keep,
            after=after,
            last=session.log.last,
            running=session.running,
        )
    )


def gap(session: Session | None, after: int) -> bytes | None:
    """What is missing after `after`; None = nothing. Without a session everything is."""
    if session and session.log.first <= after + 1:
        return None
    return envelope.unnumbered(envelope.event("session.gap", after=after, next=session.log.first if session else None))
