"""All sessions of one application, their tickets, and the one task that looks after them."""

from __future__ import annotations

import asyncio
import secrets

from aiohttp import web

from mongarsd.api.credentials import Identity, holds
from mongarsd.api.parts import Parts
from mongarsd.api.rates import Bucket
from mongarsd.api.ws.closing import GOING, REPLACED, REVOKED
from mongarsd.api.ws.node import Node
from mongarsd.api.ws.session import Reader, Session
from mongarsd.api.ws.tickets import Tickets
from mongarsd.ground.errors import Busy, RateLimited, Unauthorized
from mongarsd.ground.tasks import Tasks
from mongarsd.memory.access.types import Scope

#: Seconds that a session is kept, and goes on, without a socket.
KEEP = 60
#: Sessions without a socket that an account may have: the one that was left first ends.
MOST_LOST = 32
#: Messages a minute of an account, over all its sockets.
MESSAGES = 600
#: Seconds between two looks at sessions and tickets. A revoked key counts for no longer than that.
LOOK = 5.0


class Hub:
    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.sessions: dict[str, Session] = {}
        self.tickets = Tickets()
        self.tasks = Tasks("ws")
        self.node = Node(lambda: parts.status(), lambda: list(self.sessions.values()), parts.clock, self.tasks)
        self._buckets: dict[str, Bucket] = {}  # that are not full
        self._draining = False
        self._housekeeper: asyncio.Task[None] | None = None

    def issue(self, who: Identity) -> str:
        """A ticket. Raises RateLimited, Busy."""
        self._keep_house()
        return self.tickets.issue(who, self.parts.clock.monotonic())

    def admit(self, ticket: str) -> Identity:
        """Raises Unauthorized, Busy."""
        who = self.tickets.redeem(ticket, self.parts.clock.monotonic())
        if not holds(self.parts, who):
            raise Unauthorized("the key that this ticket was made with is no longer valid")
        self.check_open()
        return who

    def check_open(self) -> None:
        """Raises Busy when the node goes down."""
        if self._draining:
            raise Busy("this node is going down", retry_after=5.0)

    def find(self, name: str, who: Identity) -> Session | None:
        """The account's own, or none."""
        session = self.sessions.get(name)
        return session if session and session.who.account == who.account else None

    def open(self, who: Identity) -> Session:
        session = Session(f"ws_{secrets.token_urlsafe(24)}", who, self.parts.clock, self.tasks)
        self.sessions[session.name] = session
        self._counted(1)
        self._keep_house()
        return session

    def attach(self, session: Session, reader: Reader, who: Identity, after: int) -> None:
        """`reader` takes the place of the one that there may be."""
        if session.reader:
            session.reader.close(REPLACED)
        session.attach(reader, who, after)
        if Scope.ADMIN not in who.scopes:
            session.subscription = ""
        if session.subscription:
            self.node.greet(session)

    def left(self, session: Session) -> None:
        """It has no socket any more."""
        lost = [one for one in self.sessions.values() if not one.reader and one.who.account == session.who.account]
        if len(lost) > MOST_LOST:
            self.end(min(lost, key=lambda one: one.lost))

    def end(self, session: Session) -> None:
        """It cannot be resumed; what it runs stops, and stores what was said."""
        if self.sessions.pop(session.name, None):
            self._counted(-1)
            session.stop()

    def count(self, account: str) -> None:
        """A message. Raises RateLimited; then it did not count."""
        now = self.parts.clock.monotonic()
        bucket = self._buckets.setdefault(account, Bucket(MESSAGES, now))
        if wait := bucket.wait(now):
            raise RateLimited(f"an account may send {MESSAGES} messages a minute", retry_after=wait)
        bucket.take(now, 1.0)

    def look(self) -> None:
        """What was too long ago ends, and what a key opened that is no longer valid."""
        now = self.parts.clock.monotonic()
        self.tickets.expire(now)
        valid = {who: holds(self.parts, who) for who in {session.who for session in self.sessions.values()}}
        for session in list(self.sessions.values()):
            session.trim()
            if not valid[session.who]:
                if session.reader:
                    session.reader.close(REVOKED)
                self.end(session)
            elif not session.reader and session.lost + KEEP <= now:
                self.end(session)
        self._buckets = {one: bucket for one, bucket in self._buckets.items() if bucket.level(now) < MESSAGES}

    async def drain(self, _: web.Application) -> None:
        """What runs may end; then its socket is closed. Sockets where nothing runs are closed at once."""
        self._draining = True
        await asyncio.gather(*map(self._drained, list(self.sessions.values())))

    async def close(self, _: web.Application) -> None:
        await self.tasks.close()

    async def _drained(self, session: Session) -> None:
        await session.idle()
        if session.reader:
            session.reader.close(GOING)

    def _counted(self, more: int) -> None:
        gauge = self.parts.http.sessions
        gauge.set(gauge[()] + more)

    def _keep_house(self) -> None:
        if self._housekeeper is None or self._housekeeper.done():
            self._housekeeper = self.tasks.spawn("housekeeping", self._house())

    async def _house(self) -> None:
        """While there is something to look after: an idle node is not woken."""
        while self.sessions or self.tickets or self._buckets:
            await asyncio.sleep(LOOK)
            self.look()


HUB: web.AppKey[Hub] = web.AppKey("hub", Hub)
