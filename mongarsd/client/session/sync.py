"""`Session`: a WebSocket that is read by whoever waits for something. For one thread."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, suppress
from random import Random
from typing import TYPE_CHECKING, TypeVar, Unpack

from mongarsd.client.calls.chats import Message
from mongarsd.client.calls.responses import Item, RespondOptions, ResponseEvent
from mongarsd.client.errors import MongarsError
from mongarsd.client.session.connecting import OPENING, OPTIONS, check_place, closed, passes, refused
from mongarsd.client.session.inbox import Gap, Inbox, Lost
from mongarsd.client.session.state import SessionState, delay, ticket
from mongarsd.client.stream import Stream
from mongarsd.ground.status import NodeStatus

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

    from mongarsd.client.sync import Transport

T = TypeVar("T")


class Answering(Stream[ResponseEvent | Gap]):
    """An answer on its way; `id` is the command's."""

    def __init__(self, events: Generator[ResponseEvent | Gap, None, None], id: str, cancel: Callable[[], None]) -> None:  # noqa: A002
        super().__init__(events)
        self.id = id
        self._cancel = cancel

    def cancel(self) -> None:
        """Ask for its end: what was said so far is stored, and the last event says so."""
        self._cancel()


class Session:
    def __init__(
        self,
        client: Transport,
        patience: float,
        random: Random,
        sleep: Callable[[float], object],
        clock: Callable[[], float],
    ) -> None:
        self._client, self._patience = client, patience
        self._random, self._sleep, self._clock = random, sleep, clock
        self._state = SessionState()
        self._socket: ClientConnection | None = None
        self._open = ExitStack()

    def __enter__(self) -> Session:
        """Raises Unreachable at once when nothing answers."""
        self._connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends what is still running."""
        self._state.close()
        self._flush()
        self._state.fail(MongarsError("the session is closed"))
        self._disconnect()

    def respond(
        self,
        input: str | Iterable[Message],  # noqa: A002
        *,
        conversation: str | None = None,
        previous: str | None = None,
        **options: Unpack[RespondOptions],
    ) -> Answering:
        """Answer event by event, and remember it. It is asked with the first; closing the iterator cancels it."""
        inbox = self._state.answer(input, conversation, previous, options)
        return Answering(self._follow(inbox), inbox.name, lambda: self.cancel(inbox.name))

    def cancel(self, id: str) -> None:  # noqa: A002
        """Ask for the end of an answer; does nothing if it has ended."""
        self._state.cancel(id)
        self._flush()

    def replay(self, conversation: str, *, after: str | None = None) -> Stream[Item]:
        """What was said, oldest first; what follows the item `after`."""
        return Stream(self._follow(self._state.replay(conversation, after)))

    def node(self) -> Stream[NodeStatus | Lost]:
        """What the node does, now and whenever it changes, for ever. For administrators."""
        return Stream(self._follow(self._state.node()))

    def _follow(self, inbox: Inbox[T]) -> Generator[T, None, None]:
        self._state.begin(inbox)
        try:
            while True:
                while inbox.waiting:
                    self._pump()
                if (event := inbox.next()) is None:
                    return
                yield event
        finally:
            self._state.drop(inbox)
            self._flush()

    def _pump(self) -> None:
        """Read one frame; connect before if need be."""
        from websockets.exceptions import ConnectionClosed

        try:
            socket = self._socket or self._reconnect()
            self._flush()
            self._state.feed(socket.recv())
            self._flush()
        except ConnectionClosed as error:
            self._disconnect()
            closed(self._state, self._client.address, error)

    def _flush(self) -> None:
        if self._socket:
            from websockets.exceptions import ConnectionClosed

            with suppress(ConnectionClosed):  # whoever reads learns of it
                while frame := self._state.due():
                    self._socket.send(frame)

    def _disconnect(self) -> None:
        self._socket = None
        with suppress(OSError):
            self._open.close()

    def _reconnect(self) -> ClientConnection:
        """Raises the MongarsError that ends the session."""
        end = self._clock() + self._patience
        for tried in itertools.count():
            wait = delay(tried, self._random)
            try:
                return self._connect()
            except MongarsError as error:
                if not passes(error) or self._clock() + wait > end:
                    self._state.fail(error)
                    raise
            self._sleep(wait)
        raise AssertionError

    def _connect(self) -> ClientConnection:
        """Raises MongarsError."""
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect, unix_connect

        from mongarsd.client.sync import answering_socket

        address = self._client.address
        uri = address.websocket(self._state.address(self._client.run(ticket())))
        path = None if address.url else answering_socket(address, OPENING)
        try:
            opening = unix_connect(path, uri, **OPTIONS) if path else connect(uri, **OPTIONS)
            socket: ClientConnection = self._open.enter_context(opening)
        except (OSError, WebSocketException) as error:
            raise refused(address, error) from error
        try:
            check_place(address, socket.protocol.uri)
        except MongarsError:
            self._disconnect()
            raise
        self._socket = socket
        return socket
