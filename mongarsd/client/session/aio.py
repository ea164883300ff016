"""`AsyncSession`: a WebSocket that is read by whichever task waits for something. There is no task of its own."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from random import Random
from typing import TYPE_CHECKING, TypeVar, Unpack

from mongarsd.client.calls.chats import Message
from mongarsd.client.calls.responses import Item, RespondOptions, ResponseEvent
from mongarsd.client.errors import MongarsError
from mongarsd.client.session.connecting import OPENING, OPTIONS, check_place, closed, passes, refused
from mongarsd.client.session.inbox import Gap, Inbox, Lost
from mongarsd.client.session.state import SessionState, delay, ticket
from mongarsd.client.stream import AsyncStream
from mongarsd.ground.status import NodeStatus

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from mongarsd.client.aio import AsyncTransport

T = TypeVar("T")


class AsyncAnswering(AsyncStream[ResponseEvent | Gap]):
    """An answer on its way; `id` is the command's."""

    def __init__(
        self,
        events: AsyncGenerator[ResponseEvent | Gap, None],
        id: str,  # noqa: A002
        cancel: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(events)
        self.id = id
        self._cancel = cancel

    async def cancel(self) -> None:
        """Ask for its end: what was said so far is stored, and the last event says so."""
        await self._cancel()


class AsyncSession:
    def __init__(
        self,
        client: AsyncTransport,
        patience: float,
        random: Random,
        sleep: Callable[[float], Awaitable[object]],
        clock: Callable[[], float],
    ) -> None:
        import asyncio

        self._client, self._patience = client, patience
        self._random, self._sleep, self._clock = random, sleep, clock
        self._state = SessionState()
        self._socket: ClientConnection | None = None
        self._open = AsyncExitStack()
        self._reading = asyncio.Lock()

    async def __aenter__(self) -> AsyncSession:
        """Raises Unreachable at once when nothing answers."""
        await self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends what is still running."""
        self._state.close()
        await self._flush()
        self._state.fail(MongarsError("the session is closed"))
        await self._disconnect()

    def respond(
        self,
        input: str | Iterable[Message],  # noqa: A002
        *,
        conversation: str | None = None,
        previous: str | None = None,
        **options: Unpack[RespondOptions],
    ) -> AsyncAnswering:
        """Answer event by event, and remember it. It is asked with the first; closing the iterator cancels it."""
        inbox = self._state.answer(input, conversation, previous, options)
        return AsyncAnswering(self._follow(inbox), inbox.name, lambda: self.cancel(inbox.name))

    async def cancel(self, id: str) -> None:  # noqa: A002
        """Ask for the end of an answer; does nothing if it has ended."""
        self._state.cancel(id)
        await self._flush()

    def replay(self, conversation: str, *, after: str | None = None) -> AsyncStream[Item]:
        """What was said, oldest first; what follows the item `after`."""
        return AsyncStream(self._follow(self._state.replay(conversation, after)))

    def node(self) -> AsyncStream[NodeStatus | Lost]:
        """What the node does, now and whenever it changes, for ever. For administrators."""
        return AsyncStream(self._follow(self._state.node()))

    async def _follow(self, inbox: Inbox[T]) -> AsyncGenerator[T, None]:
        self._state.begin(inbox)
        try:
            await self._flush()  # the task that reads now may wait for long
            while True:
                while inbox.waiting:
                    async with self._reading:
                        if inbox.waiting:
                            await self._pump()
                if (event := inbox.next()) is None:
                    return
                yield event
        finally:
            self._state.drop(inbox)
            await self._flush()

    async def _pump(self) -> None:
        """Read one frame; connect before if need be."""
        from websockets.exceptions import ConnectionClosed

        try:
            socket = self._socket or await self._reconnect()
            await self._flush()
            self._state.feed(await socket.recv())
            await self._flush()
        except ConnectionClosed as error:
            await self._disconnect()
            closed(self._state, self._client.address, error)

    async def _flush(self) -> None:
        if socket := self._socket:
            from websockets.exceptions import ConnectionClosed

            with suppress(ConnectionClosed):  # whoever reads learns of it
                while self._socket is socket and (frame := self._state.due()):
                    await socket.send(frame)

    async def _disconnect(self) -> None:
        self._socket = None
        with suppress(OSError):
            await self._open.aclose()

    async def _reconnect(self) -> ClientConnection:
        """Raises the MongarsError that ends the session."""
        end = self._clock() + self._patience
        for tried in itertools.count():
            wait = delay(tried, self._random)
            try:
                return await self._connect()
            except MongarsError as error:
                if not passes(error) or self._clock() + wait > end:
                    self._state.fail(error)
                    raise
            await self._sleep(wait)
        raise AssertionError

    async def _connect(self) -> ClientConnection:
        """Raises MongarsError."""
        import asyncio

        from websockets.asyncio.client import connect, unix_connect
        from websockets.exceptions import WebSocketException

        from mongarsd.client.sync import answering_socket

        address = self._client.address
        uri = address.websocket(self._state.address(await self._client.run(ticket())))
        path = None if address.url else await asyncio.to_thread(answering_socket, address, OPENING)
        try:
            opening = unix_connect(path, uri, **OPTIONS) if path else connect(uri, **OPTIONS)
            socket = await self._open.enter_async_context(opening)
        except (OSError, WebSocketException) as error:
            raise refused(address, error) from error
        try:
            check_place(address, socket.protocol.uri)
        except MongarsError:
            await self._disconnect()
            raise
        self._socket = socket
        return socket
