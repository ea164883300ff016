"""A session in any history of events, readers, cuts and pauses: what each reader is sent, and when one is too slow."""

from __future__ import annotations

import asyncio
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.api.credentials import Identity
from mongarsd.api.ws.closing import SLOW, Reason
from mongarsd.api.ws.log import OVERHEAD, Log
from mongarsd.api.ws.session import Session
from mongarsd.api.ws.socket import gap
from mongarsd.ground.clock import FakeClock
from mongarsd.ground.tasks import Tasks

MOST = 3000
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.integers(0, 800)),
        st.tuples(st.just("read"), st.integers(1, 8)),
        st.tuples(st.just("attach"), st.integers(0, 3)),
        st.tuples(st.just("cut"), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 90)),
    ),
    max_size=60,
)


class Fake:
    """Takes events only when told to."""

    def __init__(self) -> None:
        self.reason: Reason | None = None

    def close(self, reason: Reason) -> None:
        self.reason = reason

    def tell(self, frame: bytes) -> None:
        raise AssertionError("nobody subscribed")


@given(STEPS)
@settings(max_examples=300)
def test_every_reader_is_sent_all_that_follows_or_told_what_is_missing(steps: list[tuple[str, int]]) -> None:
    asyncio.run(history(steps))


async def history(steps: list[tuple[str, int]]) -> None:
    clock = FakeClock()
    session = Session("ws_1", Identity("anna", frozenset()), clock, Tasks("test"))
    session.log = Log(MOST)
    reader: Fake | None = None
    seen = written = 0  # the last number that the client knows, and that there is
    for what, number in steps:
        if what == "event":
            written += 1
            event, waiting = b'"%b"' % (b"x" * number), session.log.after(session.sent)
            session._append(event, "")
            frame = len(b'{"seq":%d,"event":%b}' % (written, event)) + OVERHEAD
            slow = waiting > 0 and waiting + frame > MOST
            if reader:
                assert (reader.reason is SLOW) == slow
                reader = None if slow else reader
        elif what == "read" and reader:
            for _ in range(number):
                if (told := session.next()) is None:
                    assert seen == written
                    assert session.caught_up.is_set()
                    break
                seen += 1
                assert json.loads(told)["seq"] == seen
        elif what == "attach":
            reader = Fake()
            seen = max(seen - number, 0)  # it may not have got all that it was sent
            if missing := gap(session, seen):
                told = json.loads(missing)["event"]
                assert told["after"] == seen
                assert told["next"] > seen + 1
                assert session.log.get(told["next"] - 1) is None
                assert told["next"] == written + 1 or session.log.get(told["next"])
                session.attach(reader, session.who, seen)
                seen = told["next"] - 1
            else:
                session.attach(reader, session.who, seen)
            assert session.sent == seen
        elif what == "cut" and reader:
            session.detach(reader)
            reader = None
        elif what == "wait":
            clock.advance(number)
            behind = session.sent < session.log.last
            session.trim()
            if reader and reader.reason:
                assert behind
                reader = None
        assert session.log.last == written
        assert session.log.size <= MOST or session.log.first == session.log.last
        assert (session.reader is None) == (reader is None)
