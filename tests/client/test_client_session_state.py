"""A session's state against a model of the daemon: connections break where chance wants it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest
from fakes.session_server import ITEMS, Server, frames
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.client import errors
from mongarsd.client.calls.responses import ResponseEvent
from mongarsd.client.session import inbox as inbox_module
from mongarsd.client.session.inbox import Answer, Gap, Lost
from mongarsd.client.session.state import LONGEST_DELAY, MAX_SENT, SessionState, Ticket, delay, fatal

WHOLE = ["response.created", *["response.output_text.delta"] * 5, "response.completed"]


def read(inbox: Any) -> tuple[list[Any], errors.MongarsError | None]:
    """All that came, and what ended it."""
    found = []
    try:
        while (event := inbox.next()) is not None:
            found.append(event)
    except errors.MongarsError as error:
        return found, error
    return found, None


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_nothing_is_lost_or_repeated(seed: int, forgets: bool, restarts: bool) -> None:
    random = Random(seed)
    state = SessionState()
    server = Server(state)
    answers = [state.answer(f"q{n}-", None, None, {}) for n in range(4)]
    replay = state.replay("conv_1", None)
    inboxes = [*answers, replay]
    unstarted = list(inboxes)
    items: list[Any] = []
    for turn in range(2000):
        calm = turn > 300  # at last the network is a good one
        if unstarted and random.random() < 0.1:
            state.begin(unstarted.pop())
        if not server.down and not server.up and not state._open:
            server.connect()
        if forgets and not calm and random.random() < 0.05:
            server.forget(random.randrange(8))
            continue
        if restarts and not calm and random.random() < 0.01:
            server.restart()
            server.disconnect(0)
            continue
        if not calm and random.random() < 0.1:
            server.disconnect(random.randrange(3))
            continue
        server.take(random.randrange(3))
        if server.running:
            server.step(random.choice(list(server.running)))
        server.deliver(random.randrange(4))
        if replay._events and random.random() < 0.7:
            items.append(replay.next())
        if calm and not unstarted and all(inbox.ended for inbox in inboxes):
            break
    assert all(count == 1 for count in server.ran.values())
    for number, answer in enumerate(answers):
        events, error = read(answer)
        gaps = [event for event in events if isinstance(event, Gap)]
        said = [event for event in events if isinstance(event, ResponseEvent)]
        assert answer.ended
        deltas = [event.delta for event in said if event.delta]
        assert deltas == sorted(set(deltas))
        if gaps:
            assert forgets or restarts
            assert error is None or isinstance(error, errors.BrokenOff)
        else:
            assert error is None
            assert [event.type for event in said] == WHOLE
            assert deltas == [f"q{number}-{n}" for n in range(5)]
    rest, error = read(replay)
    assert error is None
    items += rest
    assert [item.id for item in items] == [item["id"] for item in ITEMS]


def opened(
    state: SessionState, name: str = "ws_1", resumed: bool = False, last: int = 0, running: Iterable[str] = ()
) -> None:
    said = {"session": name, "resumed": resumed, "last": last, "running": list(running)}
    state.feed(json.dumps({"event": {"type": "session.opened", **said}}))


def begun(state: SessionState) -> Answer:
    answer = state.answer("q", None, None, {})
    state.begin(answer)
    return answer


def told(state: SessionState, seq: int, event: dict[str, Any], name: str = "c1") -> None:
    state.feed(json.dumps({"seq": seq, "id": name, "event": event}))


def commands(state: SessionState) -> list[tuple[str, str]]:
    return [(command["type"], command["id"]) for command in map(json.loads, frames(state))]


def test_nothing_is_due_before_the_session_is_open() -> None:
    state = SessionState()
    begun(state)
    assert frames(state) == []
    opened(state)
    assert commands(state) == [("response.create", "c1")]
    assert frames(state) == []


def test_where_to_connect() -> None:
    state = SessionState()
    assert state.address(Ticket("wst_x")) == "/v1/ws?ticket=wst_x"
    opened(state)
    for seq in range(1, 8):
        told(state, seq, {"type": "x"})
    assert state.address(Ticket("wst_y")) == "/v1/ws?ticket=wst_y&session=ws_1&after=7"
    assert "wst" not in repr(Ticket("wst_x"))


def test_dropping_an_answer_cancels_it_also_on_another_connection() -> None:
    state = SessionState()
    answer = begun(state)
    opened(state)
    frames(state)
    told(state, 1, {"type": "response.created"})
    state.drop(answer)
    assert commands(state) == [("response.cancel", "c1")]
    state.lost("test")
    opened(state, resumed=True, last=1, running=["c1"])
    assert commands(state) == [("response.cancel", "c1")]
    told(state, 2, {"type": "response.cancelled"})
    state.lost("test")
    opened(state, resumed=True, last=2)
    assert commands(state) == []


def test_an_answer_that_is_cancelled_before_it_is_sent_is_never_asked() -> None:
    state = SessionState()
    answer = begun(state)
    state.cancel("c1")
    opened(state)
    assert commands(state) == []
    assert isinstance(read(answer)[1], errors.BrokenOff)
    lost = begun(state)
    frames(state)
    state.lost("test")  # it never arrived
    state.cancel("c2")
    opened(state, resumed=True)
    assert commands(state) == []
    assert isinstance(read(lost)[1], errors.BrokenOff)


def test_a_refusal_is_raised_after_what_came_before() -> None:
    state = SessionState()
    answer = begun(state)
    opened(state)
    frames(state)
    told(state, 1, {"type": "response.created"})
    told(state, 2, {"type": "error", "message": "it crashed", "code": "worker_crashed", "param": None})
    told(state, 3, {"type": "response.failed"})
    events, error = read(answer)
    assert [event.type for event in events] == ["response.created"]
    assert error is not None
    assert (error.code, error.message) == ("worker_crashed", "it crashed")


def test_what_never_arrived_is_sent_again_once_all_that_was_said_has_come() -> None:
    state = SessionState()
    refused, lost = begun(state), begun(state)
    opened(state)
    frames(state)
    state.lost("test")
    opened(state, resumed=True, last=2)
    later = begun(state)
    assert commands(state) == [("response.create", later.name)]
    told(state, 1, {"type": "error", "error": {"message": "no model x", "code": "model_not_found", "param": "model"}})
    assert commands(state) == []
    told(state, 2, {"type": "x"}, "another")
    assert commands(state) == [("response.create", lost.name)]
    assert isinstance(read(refused)[1], errors.ModelNotFound)


def test_an_answer_that_may_have_ended_in_a_gap_is_not_asked_for_again() -> None:
    state = SessionState()
    answer = begun(state)
    opened(state)
    frames(state)
    state.lost("test")
    opened(state, resumed=True, last=9)
    state.feed(json.dumps({"event": {"type": "session.gap", "after": 0, "next": 9}}))
    told(state, 9, {"type": "x"}, "another")
    assert commands(state) == []
    events, error = read(answer)
    assert events == [Gap(0, 9)]
    assert isinstance(error, errors.BrokenOff)


def test_a_hole_that_nothing_announced() -> None:
    state = SessionState()
    opened(state)
    told(state, 1, {"type": "x"})
    with pytest.raises(errors.NotUnderstood, match="after event 1 came 3"):
        told(state, 3, {"type": "x"})


def test_nobody_who_does_not_read_takes_all_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "MOST_HELD", 3)
    state = SessionState()
    answer = begun(state)
    opened(state)
    frames(state)
    for seq in range(1, 9):
        told(state, seq, {"type": "response.output_text.delta", "delta": "x"})
    events, error = read(answer)
    assert len(events) == 3
    assert isinstance(error, errors.BrokenOff)
    assert commands(state) == [("response.cancel", "c1")]


def test_the_node_is_asked_anew_by_a_new_session_only() -> None:
    state = SessionState()
    first, second = state.node(), state.node()
    for node in (first, second):
        state.begin(node)
    opened(state)
    assert [kind for kind, _ in commands(state)] == ["node.subscribe"] * 2
    state.lost("gone")
    opened(state, resumed=True)
    assert commands(state) == []
    assert read(first)[0] == [Lost("gone")]
    state.lost("gone")
    opened(state, "ws_2")
    assert [kind for kind, _ in commands(state)] == ["node.subscribe"] * 2
    state.drop(first)
    assert commands(state) == []
    state.drop(second)
    assert commands(state) == [("node.unsubscribe", "c2")]


def test_more_than_may_run_wait_for_their_turn() -> None:
    state = SessionState()
    for _ in range(10):
        begun(state)
    opened(state)
    assert [name for _, name in commands(state)] == [f"c{n}" for n in range(1, 9)]
    state.begin(state.node())
    assert commands(state) == [("node.subscribe", "c11")]
    told(state, 1, {"type": "response.completed"}, "c3")
    assert commands(state) == [("response.create", "c9")]
    told(state, 2, {"type": "response.failed"}, "c9")
    assert commands(state) == [("response.create", "c10")]


def test_too_large_a_command_is_not_sent() -> None:
    with pytest.raises(errors.TooLarge):
        SessionState().answer("x" * MAX_SENT, None, None, {})


@pytest.mark.parametrize(
    "frame",
    ["", "[]", "{}", '{"event": 3}', '{"event": {"type": 1}}', '{"seq": "x", "event": {}}', '{"x": ' + "[" * 100_000],
)
def test_a_frame_that_is_not_ours(frame: str) -> None:
    with pytest.raises(errors.NotUnderstood):
        SessionState().feed(frame)


def test_what_ends_a_session_ends_everything_in_it() -> None:
    state = SessionState()
    answer = begun(state)
    error = fatal(4001)
    assert isinstance(error, errors.Conflict)
    state.fail(error)
    assert read(answer)[1] is error
    with pytest.raises(errors.Conflict):
        state.begin(state.node())
    assert fatal(1006) is fatal(1001) is fatal(4000) is fatal(None) is None


@given(st.integers(0, 10_000), st.integers())
def test_how_long_to_wait_is_bounded_and_repeatable(tried: int, seed: int) -> None:
    assert 0.0 < delay(tried, Random(seed)) <= LONGEST_DELAY
    assert delay(tried, Random(seed)) == delay(tried, Random(seed))
