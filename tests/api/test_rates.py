from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from typing import cast

import pytest
from fakes.executor import FakeExecutor
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.api.rates import MINUTE, Bucket, Limits, Metered, Rates
from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import RateLimited
from mongarsd.ground.job import Delta, Event, Finished, Job, Started

STEPS = st.lists(st.tuples(st.floats(0, 90), st.integers(1, 5)), max_size=60)


@given(st.integers(1, 1000), STEPS)
def test_no_window_lets_more_through_than_a_burst_and_the_rate(size: int, steps: list[tuple[float, int]]) -> None:
    bucket, now, taken = Bucket(size, 0.0), 0.0, 0
    for pause, tries in steps:
        now += pause
        for _ in range(tries):
            if bucket.wait(now) == 0.0:
                bucket.take(now, 1.0)
                taken += 1
        assert taken <= size + now * size / MINUTE + 1e-6
        assert bucket.level(now) <= size


@given(st.integers(1, 1000), st.floats(0, 5000))
def test_who_waits_as_told_is_let_in(size: int, spent: float) -> None:
    bucket = Bucket(size, 0.0)
    bucket.take(0.0, spent)
    wait = bucket.wait(0.0)
    assert bucket.wait(wait + 1e-6) <= 1e-6
    if wait > 0.1:
        assert bucket.wait(wait - 0.1) > 0.0


def test_time_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(60, 100.0)
    bucket.take(100.0, 60)
    assert bucket.level(50.0) == 0.0
    bucket.take(50.0, 0.0)
    assert bucket.level(101.0) == pytest.approx(1.0)


def test_without_limits_nothing_is_kept() -> None:
    rates = Rates(lambda _: Limits(), FakeClock())
    for number in range(100):
        rates.request(str(number))
        with rates.job(str(number)):
            rates.charge(str(number), 1000)
        assert rates.headers(str(number)) == {}
    assert not rates._of


def test_jobs_at_the_same_time() -> None:
    rates = Rates(lambda _: Limits(jobs=2), FakeClock())
    with ExitStack() as running:
        running.enter_context(rates.job("a"))
        running.enter_context(rates.job("a"))
        with pytest.raises(RateLimited, match="2 jobs"), rates.job("a"):
            pass
        with rates.job("b"):
            pass
    with rates.job("a"):
        pass


def test_tokens_are_paid_back() -> None:
    clock = FakeClock()
    rates = Rates(lambda _: Limits(tokens=60), clock)
    with rates.job("a"):
        rates.charge("a", 90)
    with pytest.raises(RateLimited) as refused, rates.job("a"):
        pass
    assert math.ceil(refused.value.detail["retry_after"]) == 31
    assert rates.headers("a") == {
        "X-RateLimit-Limit-Tokens": "60",
        "X-RateLimit-Remaining-Tokens": "0",
        "X-RateLimit-Reset-Tokens": "90s",
    }
    clock.advance(31)
    with rates.job("a"):
        pass


def test_a_refused_request_costs_nothing() -> None:
    clock = FakeClock()
    rates = Rates(lambda _: Limits(requests=2), clock)
    rates.request("a")
    rates.request("a")
    for _ in range(10):
        with pytest.raises(RateLimited) as refused:
            rates.request("a")
    clock.advance(refused.value.detail["retry_after"] + 1e-6)
    rates.request("a")


def test_a_changed_limit_holds_at_once() -> None:
    clock, limits = FakeClock(), [Limits(requests=1)]
    rates = Rates(lambda _: limits[0], clock)
    rates.request("a")
    with pytest.raises(RateLimited):
        rates.request("a")
    limits[0] = Limits(requests=2)
    rates.request("a")
    limits[0] = Limits()
    for _ in range(10):
        rates.request("a")


@pytest.mark.parametrize(("count", "left"), [(False, 90), (True, 100)])
async def test_a_job_costs_its_tokens_but_counting_is_free(count: bool, left: int) -> None:
    rates = Rates(lambda _: Limits(tokens=100), FakeClock())
    async for _ in Metered(FakeExecutor(), rates).run(Job(id="1", model="m", text="Hi", count=count, account="a")):
        pass
    assert rates.headers("a")["X-RateLimit-Remaining-Tokens"] == str(left)


async def test_a_cancelled_job_pays_for_what_it_had() -> None:
    rates = Rates(lambda _: Limits(tokens=100, jobs=1), FakeClock())
    events = Metered(FakeExecutor(), rates).run(Job(id="1", model="m", text="Hi", account="a"))
    async with aclosing(cast(AsyncGenerator[Event, None], events)):
        assert type(await anext(events)) is Started
        assert type(await anext(events)) is Delta
    assert rates.headers("a")["X-RateLimit-Remaining-Tokens"] == "92"  # of its prompt 7, of its answer 1
    with rates.job("a"):
        pass


async def test_a_job_without_limits_passes_unseen() -> None:
    executor = FakeExecutor()
    run = Metered(executor, Rates(lambda _: Limits(), FakeClock())).run
    events = run(Job(id="1", model="m", text="Hi"))
    assert getattr(events, "ag_code", None) is executor.run.__code__
    assert [type(event) async for event in events][-1] is Finished
