from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.ground.errors import ErrorInfo
from mongarsd.ground.job import (
    Delta,
    Event,
    Failed,
    Finished,
    FinishReason,
    Job,
    Started,
    Timings,
    TokenLogprob,
    Usage,
)
from mongarsd.ground.metrics import Metrics
from mongarsd.inference.pool.meters import Meters
from mongarsd.inference.pool.stream import LAG, JobStream, merge, squeeze

logprobs = st.builds(TokenLogprob, st.integers(0, 9), st.binary(max_size=2), st.just(-1.0))
deltas = st.builds(
    Delta,
    st.just("j"),
    st.lists(st.integers(0, 99), max_size=3).map(tuple),
    st.text(max_size=3),
    st.text(max_size=3),
    st.lists(logprobs, max_size=2).map(tuple),
)
other = st.just(Started("j", "n", 0.0, 1, restarted=True))


def said(events: list[Event]) -> tuple[object, ...]:
    parts = [event for event in events if isinstance(event, Delta)]
    return (
        [token for delta in parts for token in delta.tokens],
        "".join(delta.text for delta in parts),
        "".join(delta.reasoning for delta in parts),
        [logprob for delta in parts for logprob in delta.logprobs],
    )


@given(st.lists(deltas, min_size=1))
def test_merge_says_the_same(parts: list[Delta]) -> None:
    assert said([merge(parts)]) == said(list(parts))


@given(st.lists(deltas | other))
def test_squeeze_keeps_order_and_content(events: list[Event]) -> None:
    short = squeeze(events)
    assert said(short) == said(events)
    assert [e for e in short if isinstance(e, Started)] == [e for e in events if isinstance(e, Started)]
    assert not any(isinstance(a, Delta) and isinstance(b, Delta) for a, b in pairwise(short))


def stream(deadline: float | None = None, produced: tuple[int, ...] = ()) -> JobStream:
    job = Job(id="j", model="m", text="x", deadline=deadline, produced=produced)
    return JobStream(job, 100.0, Meters(Metrics()))


def delta(*tokens: int) -> Delta:
    return Delta("j", tokens, "x" * len(tokens))


def test_the_first_hand_over_is_the_job_itself() -> None:
    one = stream()
    assert one.hand_over(105.0) is one.job


def test_a_resumed_job_carries_produced_and_what_is_left_of_its_time() -> None:
    one = stream(deadline=60.0, produced=(1, 2))
    one.hand_over(100.0)
    one.push(Started("j", "n", 0.0, 9), 100.0)
    one.push(delta(3, 4), 110.0)
    one.crashed("died", 111.0)
    again = one.hand_over(120.0)
    assert again.produced == (1, 2, 3, 4)
    assert again.deadline == 40.0
    assert not one.overdue(159.0)
    assert one.overdue(160.0)


def test_timings_and_usage_are_those_of_the_whole_job() -> None:
    one = stream()
    one.hand_over(102.0)
    one.push(Started("j", "n", 1.0, 9, 4), 103.0)
    one.push(delta(1), 105.0)
    one.crashed("died", 106.0)
    one.hand_over(110.0)
    one.push(Started("j", "n", 5.0, 10, 10), 115.0)
    one.push(delta(2), 116.0)
    one.push(Finished("j", FinishReason.STOP, Usage(10, 2, 10), Timings(5.0, 1.0, 0.0)), 116.0)
    events = [one.take() for _ in range(5)]
    assert events[0] == Started("j", "n", 3.0, 9, 4)
    assert events[2] == Started("j", "n", 5.0, 10, 10, restarted=True)
    assert events[4] == Finished("j", FinishReason.STOP, Usage(9, 2, 4), Timings(3.0, 2.0, 11.0, 1))


def test_only_running_jobs_are_blamed_and_only_twice() -> None:
    one = stream()
    for _ in range(5):
        one.hand_over(100.0)
        one.crashed("was killed by SIGSEGV", 100.0)  # it waited in the queue
    one.push(Started("j", "n", 0.0, 1), 100.0)
    one.crashed("was killed by SIGSEGV", 100.0)
    one.crashed("was killed by SIGSEGV", 100.0)  # it waited for its second start
    assert not one.ended
    one.push(Started("j", "n", 0.0, 1), 100.0)
    one.crashed("was killed by SIGSEGV", 100.0)
    assert one.ended
    first, second, last = [one.take() for _ in range(3)]
    assert isinstance(first, Started)
    assert isinstance(second, Started)
    assert isinstance(last, Failed)
    assert last.error.code == "worker_crashed"


def test_a_reader_that_lags_holds_few_events() -> None:
    one = stream()
    for token in range(1000):
        one.push(delta(token), 100.0)
        assert len(one._pending) <= LAG
    got = one.take()
    assert isinstance(got, Delta)
    assert got.tokens == tuple(range(1000))


async def test_a_waiting_reader_is_woken_and_may_be_cancelled() -> None:
    one = stream()
    one.arrival().cancel()
    waiting = one.arrival()
    one.push(delta(1), 100.0)
    one.push(delta(2), 100.0)
    assert waiting.done()
    assert one.take() == Delta("j", (1, 2), "xx")
    assert not one.arrival().done()


async def test_what_is_there_has_arrived() -> None:
    one = stream()
    one.arrival().cancel()
    one.push(delta(1), 100.0)
    assert one.arrival().done()


def test_it_is_drained_when_its_end_is_taken() -> None:
    one = stream()
    one.push(delta(1), 100.0)
    one.push(Failed("j", ErrorInfo("busy", "…")), 100.0)
    assert isinstance(one.take(), Delta)
    assert not one.drained
    assert isinstance(one.take(), Failed)
    assert one.drained


def test_nothing_follows_the_end() -> None:
    one = stream()
    one.push(Failed("j", ErrorInfo("busy", "…")), 100.0)
    one.push(delta(1), 100.0)
    assert len(one._pending) == 1
    one.abandon()
    assert one._pending == []
