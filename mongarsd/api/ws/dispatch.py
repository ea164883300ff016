"""What a message of a client does. Whatever is wrong with it becomes an error event, and the socket stays open."""

from __future__ import annotations

from mongarsd.api.parts import Parts
from mongarsd.api.ws import envelope
from mongarsd.api.ws.commands import (
    CancelResponse,
    Command,
    CreateResponse,
    ReplayConversation,
    SubscribeNode,
    UnsubscribeNode,
    command,
    name_of,
)
from mongarsd.api.ws.hub import Hub
from mongarsd.api.ws.replay import Replay
from mongarsd.api.ws.responses import Respond
from mongarsd.api.ws.session import Session
from mongarsd.ground.errors import BadRequest, Forbidden, MongarsError, RateLimited
from mongarsd.memory.access.types import Scope

#: Messages in a row that were too many: then the client does not listen to what it is told.
MOST_REFUSED = 100

_PONG = envelope.event("pong")


class Dispatcher:
    """Of one socket."""

    def __init__(self, hub: Hub, session: Session) -> None:
        self._hub, self._session = hub, session
        self._refused = 0

    @property
    def flooded(self) -> bool:
        return self._refused >= MOST_REFUSED

    async def take(self, data: bytes, *, text: bool) -> bytes | None:
        """Do what a message says. What is returned is sent beside the numbered events."""
        wanted: Command | None = None
        try:
            self._count()
            if not text:
                raise BadRequest("send text frames: a message is a JSON object")
            wanted = command(data)
            if isinstance(wanted, CreateResponse | ReplayConversation):
                reader = self._session.reader
                await self._session.place()
                if self._session.reader is not reader:
                    return None  # who reads now was told what runs: no more than that
            return self._do(wanted)
        except MongarsError as error:
            name = (wanted.id or "") if wanted else name_of(data)
            await self._session.send([envelope.failure(error)], name)
            return None

    def _count(self) -> None:
        try:
            self._hub.count(self._session.who.account)
        except RateLimited:
            self._refused += 1
            raise
        self._refused = 0

    def _do(self, wanted: Command) -> bytes | None:
        session, parts = self._session, self._hub.parts
        if isinstance(wanted, CreateResponse):
            self._create(parts, wanted)
        elif isinstance(wanted, CancelResponse):
            session.cancel(wanted.id)
        elif isinstance(wanted, ReplayConversation):
            session.start(wanted.id, Replay(parts, session, wanted))
        elif isinstance(wanted, SubscribeNode):
            if Scope.ADMIN not in session.who.scopes:
                raise Forbidden(f"node.subscribe needs a key with the scope {Scope.ADMIN}")
            self._hub.node.subscribe(session, wanted.id)
        elif isinstance(wanted, UnsubscribeNode):
            session.subscription = ""
        else:
            return envelope.unnumbered(_PONG, wanted.id or "")
        return None

    def _create(self, parts: Parts, wanted: CreateResponse) -> None:
        self._hub.check_open()
        self._session.check(wanted.id)
        parts.rates.request(self._session.who.account)
        self._session.start(wanted.id, Respond(parts, self._session, wanted.id, wanted.response))
