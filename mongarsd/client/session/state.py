"""A session without its sockets: frames in, frames to send out, and an inbox for each command.

The daemon numbers a session's events and keeps them for a while, so a new connection that names the session and the
last number goes on where the old one ended: nothing is lost, nothing comes twice. The daemon also says which commands
run: one that was sent, does not run and has not ended by the last event there is, never arrived (`Answer.settle`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from mongarsd.client.call import Call, decoded, path
from mongarsd.client.calls.chats import Message
from mongarsd.client.calls.responses import body
from mongarsd.client.errors import BrokenOff, Conflict, MongarsError, NotUnderstood, RateLimited, TooLarge, Unauthorized
from mongarsd.client.session.inbox import Answer, Gap, Inbox, Node, Overrun, Replay

MAX_SENT = 1 << 20  # bytes of one command; the daemon's limit
MOST_RUNNING = 8  # commands at the same time; the daemon refuses more, so they wait here
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0  # seconds between two tries to connect

#: Close codes after which another connection would not help.
_FATAL: dict[int, Callable[[], MongarsError]] = {
    1009: lambda: TooLarge("a command was larger than the daemon takes"),
    4001: lambda: Conflict("another connection has taken this session over"),
    4003: lambda: Unauthorized("the key of this session is no longer valid"),
    4029: lambda: RateLimited("this session sent too many messages"),
}


class Ticket(Struct, frozen=True):
    """What opens one connection, once."""

    ticket: str

    def __repr__(self) -> str:
        return "Ticket(…)"


def ticket() -> Call[Ticket]:
    return Call("POST", "/v1/ws/ticket", Ticket, timeout=10.0)


def delay(tried: int, random: Random) -> float:
    """Seconds before the next try to connect, after `tried` ones: doubled each time, of which half is chance, so that
    the clients of a node that comes back do not all come at once."""
    longest: float = min(FIRST_DELAY * 2 ** min(tried, 16), LONGEST_DELAY)
    return longest * random.uniform(0.5, 1.0)


def fatal(code: int | None) -> MongarsError | None:
    """What a close code says that ends the session; None = connect again."""
    return _FATAL[code]() if code in _FATAL else None


class SessionState:
    """Tell it what happens (`feed`, `lost`), send what is `due`, read the inboxes."""

    def __init__(self) -> None:
        self.name = ""  # "" = none yet
        self.last = 0  # number of the last event
        self.dead: MongarsError | None = None  # why there will be no connection any more
        self._open = False
        self._settles: int | None = None  # the event with which it is known what became of every command
        self._made = 0
        self._inboxes: dict[str, Inbox[Any]] = {}
        self._extra: deque[dict[str, Any]] = deque()  # to be sent besides the inboxes' commands

    def address(self, ticket: Ticket) -> str:
        """Where to connect."""
        session, after = (self.name, self.last) if self.name else (None, None)
        return path("/v1/ws", ticket=ticket.ticket, session=session, after=after)

    # commands: made, and begun when somebody reads them

    def answer(
        self,
        said: str | Iterable[Message],
        conversation: str | None,
        previous: str | None,
        options: Mapping[str, Any],
    ) -> Answer:
        """Raises TooLarge."""
        made = Answer(self._id(), body(said, conversation, previous, options))
        if len(msgspec.json.encode(made.command())) > MAX_SENT:
            raise TooLarge(f"the request has more than {MAX_SENT} bytes: send less, or name a conversation")
        return made

    def replay(self, conversation: str, after: str | None) -> Replay:
        return Replay(self._id(), conversation, after)

    def node(self) -> Node:
        return Node(self._id())

    def begin(self, inbox: Inbox[Any]) -> None:
        """From now on it is due. Raises what ended the session."""
        if self.dead:
            raise self.dead
        self._inboxes[inbox.name] = inbox

    def cancel(self, name: str) -> None:
        """Ask for the end of an answer; does nothing if it has ended."""
        inbox = self._inboxes.get(name)
        if not isinstance(inbox, Answer) or inbox.ended or inbox.cancelled:
            return
        inbox.cancelled = True
        if not inbox.sent:
            inbox.fail(BrokenOff("it was cancelled before it was sent"))
        elif self._open:  # else it will be told with the next connection
            self._extra.extend(inbox.stop())

    def drop(self, inbox: Inbox[Any]) -> None:
        """Nobody reads it any more; what the daemon does for it ends."""
        inbox.closed = True
        if isinstance(inbox, Answer) and inbox.sent:
            self.cancel(inbox.name)  # until it has ended the cancel may have to be sent again
            return
        if self._inboxes.pop(inbox.name, None) and inbox.sent:
            self._extra.extend(inbox.stop() if not self._nodes or not isinstance(inbox, Node) else [])

    def due(self) -> str | None:
        """The next frame to send; it counts as sent, and no other does: who sends it may be cancelled."""
        command = self._command() if self._open else None
        return msgspec.json.encode(command).decode() if command else None

    # what happens

    def feed(self, data: str | bytes) -> None:
        """A frame. Raises NotUnderstood."""
        frame = decoded(data.encode() if isinstance(data, str) else data, _Frame)
        if frame.seq:
            if frame.seq <= self.last:
                return
            if frame.seq > self.last + 1:
                raise NotUnderstood(f"after event {self.last} came {frame.seq}, and nothing said why")
            self.last = frame.seq
        event = bytes(frame.event)
        kind = decoded(event, _Kind).type
        if kind == "session.opened":
            self._opened(decoded(event, _Opened))
        elif kind == "session.gap":
            self._gap(decoded(event, Gap))
        elif kind == "node.status":
            for node in self._nodes:
                node.take(kind, event)
        elif inbox := self._inboxes.get(frame.id):
            self._take(inbox, kind, event)
        self._settle()

    def lost(self, why: str) -> None:
        """The connection is gone."""
        self._open = False
        self._extra.clear()
        for inbox in self._inboxes.values():
            inbox.lost(why)

    def fail(self, error: MongarsError) -> None:
        """There will be no connection any more."""
        self.dead, self._open = error, False
        for inbox in self._inboxes.values():
            if not inbox.ended:
                inbox.fail(error)
        self._inboxes.clear()

    def close(self) -> None:
        """Nobody wants anything any more: what is `due` says so to the daemon."""
        for inbox in list(self._inboxes.values()):
            self.drop(inbox)

    def _command(self) -> dict[str, Any] | None:
        if self._extra:
            return self._extra.popleft()
        full = sum(inbox.sent and inbox.takes_a_place for inbox in self._inboxes.values()) >= MOST_RUNNING
        for inbox in self._inboxes.values():
            if inbox.due and not (full and inbox.takes_a_place):
                inbox.sent = True
                return inbox.command()
        return None

    @property
    def _nodes(self) -> list[Node]:
        """The daemon tells a session once, whoever wants to know."""
        return [inbox for inbox in self._inboxes.values() if isinstance(inbox, Node)]

    def _take(self, inbox: Inbox[Any], kind: str, event: bytes) -> None:
        try:
            inbox.take(kind, event)
        except MongarsError as error:
            if isinstance(error, Overrun):
                self._extra.extend(inbox.stop())
            inbox.fail(error)

    def _opened(self, opened: _Opened) -> None:
        self._open = True
        if not opened.resumed:
            self.last = 0
        self.name, self._settles = opened.session, opened.last
        for inbox in self._inboxes.values():
            self._extra.extend(inbox.reopened(opened.resumed, inbox.name in opened.running))

    def _gap(self, gap: Gap) -> None:
        if gap.next is not None:  # else the session is a new one, which `session.opened` has said
            self.last = gap.next - 1
            for inbox in self._inboxes.values():
                inbox.gap(gap)

    def _settle(self) -> None:
        if self._settles is not None and self.last >= self._settles:
            self._settles = None
            for inbox in self._inboxes.values():
                inbox.settle()
        # Ids may be other ones now, and what has ended is nobody's command any more.
        self._inboxes = {inbox.name: inbox for inbox in self._inboxes.values() if not inbox.ended}

    def _id(self) -> str:
        self._made += 1
        return f"c{self._made}"


class _Frame(Struct, frozen=True):
    event: msgspec.Raw
    seq: int = 0
    id: str = ""


class _Kind(Struct, frozen=True):
    type: str


class _Opened(Struct, frozen=True):
    session: str
    resumed: bool = False
    last: int = 0
    running: tuple[str, ...] = ()
