"""What came for one command, until it is read. Each kind knows its command, its end, and what to do when a connection
is lost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Generic, TypeVar

from msgspec import Struct

from mongarsd.client.call import decoded, given
from mongarsd.client.calls.responses import ENDS, Item, ResponseEvent, event_of, problem
from mongarsd.client.errors import BrokenOff, MongarsError
from mongarsd.ground.status import NodeStatus

T = TypeVar("T")

MOST_HELD = 4096  # events of one command that nobody has read
MOST_STATUSES = 16  # of the node; the newest count
PAGE = 1000  # items of one replay; the daemon's limit


class Gap(Struct, frozen=True):
    """Events are lost, because nobody was there for too long: those after `after` and before `next` (of the session's
    numbers); None = the session itself ended. What was stored can be fetched: `client.response(id)`."""

    after: int
    next: int | None

    @property
    def type(self) -> str:
        """As events have it."""
        return "session.gap"

    @property
    def text(self) -> str:
        """None of the answer: so that a loop over events need not ask what it has got."""
        return ""


class Lost(Struct, frozen=True):
    """The connection is gone, and is being made again."""

    why: str


class Overrun(BrokenOff):
    """Nobody reads; the daemon need not go on."""


class Inbox(ABC, Generic[T]):
    takes_a_place = True  # among the commands that may run at the same time

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent = False  # its command is out, on this session
        self.ended = False
        self.closed = False  # nobody reads it any more
        self._events: deque[T] = deque()
        self._error: MongarsError | None = None

    @abstractmethod
    def command(self) -> dict[str, Any]: ...

    def stop(self) -> list[dict[str, Any]]:
        """What ends it at the daemon."""
        return [{"type": "response.cancel", "id": self.name}]

    @abstractmethod
    def take(self, kind: str, event: bytes) -> None:
        """Raises NotUnderstood, BrokenOff, and what an error event says."""

    @abstractmethod
    def reopened(self, resumed: bool, running: bool) -> list[dict[str, Any]]:
        """There is a connection again, to the same session or to a new one; is the command one of those that run?
        What is to be sent besides commands."""

    def gap(self, gap: Gap) -> None:
        """Events are lost, and may be this command's. The connection is new."""

    def settle(self) -> None:
        """All has come that was said before there was this connection."""

    def lost(self, why: str) -> None:
        """The connection is."""

    def next(self) -> T | None:
        """None = nothing yet, or ended. Raises what ended it, once all before that is read."""
        if self._events:
            return self._events.popleft()
        if self._error:
            raise self._error
        return None

    @property
    def due(self) -> bool:
        """Is the command to be sent?"""
        return not self.sent and not self.ended

    @property
    def waiting(self) -> bool:
        """Is there nothing to read, but there may be?"""
        return not self.ended and not self._events

    def fail(self, error: MongarsError) -> None:
        self._error, self.ended = error, True

    def _put(self, event: T) -> None:
        if self.closed:
            return
        if len(self._events) >= MOST_HELD:
            raise Overrun(f"{MOST_HELD} events of this command were not read, so the rest was thrown away")
        self._events.append(event)


class Answer(Inbox[ResponseEvent | Gap]):
    """Of response.create. An answer is never asked for twice, and each event comes once."""

    def __init__(self, name: str, body: dict[str, Any]) -> None:
        super().__init__(name)
        self.cancelled = False
        self._body = body
        self._begun = False  # something came of it
        self._doubtful = False  # a connection broke, and it does not run
        self._torn = False  # its events have a gap

    def command(self) -> dict[str, Any]:
        return {"type": "response.create", "id": self.name, "response": self._body}

    def take(self, kind: str, event: bytes) -> None:  # noqa: ARG002
        found = event_of(event)
        self._begun = True
        self._put(found)
        self.ended = self.ended or found.type in ENDS

    def reopened(self, resumed: bool, running: bool) -> list[dict[str, Any]]:
        if not self.sent:
            return []
        if not resumed:
            self._events.append(Gap(0, None))
            self.fail(BrokenOff("the session ended while there was no connection, and with it this answer"))
            return []
        self._doubtful = not running
        return self.stop() if self.cancelled and running else []

    def gap(self, gap: Gap) -> None:
        if self.sent:
            self._torn = True
            self._events.append(gap)

    def settle(self) -> None:
        if not self._doubtful or self.ended:
            return
        self._doubtful = False
        if self._begun or self._torn:
            self.fail(BrokenOff("the end of this answer is lost; what was stored can be fetched by its id"))
        elif self.cancelled:
            self.fail(BrokenOff("it was cancelled before it began"))
        else:
            self.sent = False


class Replay(Inbox[Item]):
    """Of conversation.replay, page by page. It is begun anew where it was, under another id, when that is in doubt."""

    def __init__(self, name: str, conversation: str, after: str | None) -> None:
        super().__init__(name)
        self._conversation, self._after = conversation, after
        self._times = 0

    def command(self) -> dict[str, Any]:
        fields = {"type": "conversation.replay", "id": self.name, "conversation": self._conversation, "limit": PAGE}
        return given(fields, after=self._after)

    @property
    def due(self) -> bool:
        """A page is asked for when the one before is read, so that no more than one is held."""
        return super().due and not self._events

    def take(self, kind: str, event: bytes) -> None:
        if kind == "error":
            raise problem(event)
        if kind == "conversation.item":
            item = decoded(event, _Item).item
            self._after = item.id
            self._put(item)
        elif kind == "conversation.replayed":
            self.ended = not decoded(event, _Replayed).has_more
            self._anew()

    def reopened(self, resumed: bool, running: bool) -> list[dict[str, Any]]:
        if not self.sent:
            return []
        old = self.stop()
        self._anew()
        return old if resumed and running else []

    def _anew(self) -> None:
        self.sent = False
        self._times += 1
        self.name = f"{self.name.partition('.')[0]}.{self._times}"


class Node(Inbox[NodeStatus | Lost]):
    """Of node.subscribe, which never ends."""

    takes_a_place = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._events = deque(maxlen=MOST_STATUSES)

    def command(self) -> dict[str, Any]:
        return {"type": "node.subscribe", "id": self.name}

    def stop(self) -> list[dict[str, Any]]:
        return [{"type": "node.unsubscribe", "id": self.name}]

    def take(self, kind: str, event: bytes) -> None:
        if kind == "error":
            raise problem(event)
        self._put(decoded(event, _Status).status)

    def reopened(self, resumed: bool, running: bool) -> list[dict[str, Any]]:  # noqa: ARG002
        self.sent = self.sent and resumed
        return []

    def lost(self, why: str) -> None:
        self._put(Lost(why))


class _Item(Struct, frozen=True):
    item: Item


class _Replayed(Struct, frozen=True):
    has_more: bool = False


class _Status(Struct, frozen=True):
    status: NodeStatus
