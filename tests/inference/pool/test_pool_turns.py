"""Models that do not fit beside each other: requests wait their turn, for a bounded time, and the budget holds."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from fakes.pool import MakePool, collect, exists, make_job, text, until
from fakes.worker_process import whole_text

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import Busy, DeadlineExceeded
from mongarsd.ground.job import Started
from mongarsd.inference.pool.budget import Crowded
from mongarsd.inference.pool.turns import Turns, finished


async def test_a_request_waits_until_the_model_in_the_way_has_answered(make_pool: MakePool) -> None:
    pool = await make_pool()
    first = pool.run(make_job("one", tokens=100_000))
    await anext(first)
    second = asyncio.create_task(collect(pool, make_job("big")))
    await until(lambda: pool.waiting == 1)
    assert text(await collect(pool, make_job("two"))) == whole_text(0, 20)  # which fits beside one
    assert pool.waiting == 1
    await first.aclose()
    assert text(await second) == whole_text(0, 20)
    assert [status.name for status in pool.status()] == ["big"]


async def test_it_waits_no_longer_than_its_deadline(make_pool: MakePool) -> None:
    pool = await make_pool()
    first = pool.run(make_job("one", tokens=100_000))
    await anext(first)
    with pytest.raises(Busy) as caught:
        await collect(pool, make_job("big", deadline=0.05))
    assert caught.value.detail["retry_after"] > 0
    assert pool.waiting == 0
    await first.aclose()


async def test_what_it_waited_comes_off_its_deadline(make_pool: MakePool) -> None:
    clock = FakeClock()
    pool = await make_pool(clock=clock)
    first = pool.run(make_job("one", tokens=100_000))
    await anext(first)
    waiting = [asyncio.create_task(collect(pool, make_job("big", deadline=deadline))) for deadline in (5.0, 50.0)]
    await until(lambda: pool.waiting == 2)
    clock.advance(10.0)
    await first.aclose()
    with pytest.raises(DeadlineExceeded):
        await waiting[0]
    started, *_ = await waiting[1]
    assert isinstance(started, Started)
    assert started.queue >= 10.0


async def test_who_goes_leaves_the_queue_and_a_closing_pool_sends_all_away(make_pool: MakePool) -> None:
    pool = await make_pool(settings={"queue": 2})
    first = pool.run(make_job("one", tokens=100_000))
    await anext(first)
    waiting = [asyncio.create_task(collect(pool, make_job("big"))) for _ in range(2)]
    await until(lambda: pool.waiting == 2)
    with pytest.raises(Busy):
        await collect(pool, make_job("big"))
    waiting[0].cancel()
    await until(lambda: pool.waiting == 1)
    closing = asyncio.create_task(pool.close())
    with pytest.raises(Busy, match="shutting down"):
        await waiting[1]
    await closing
    await first.aclose()


async def test_the_budget_holds_when_who_asked_goes_while_room_is_made(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mongarsd.inference.pool.supervisor.STOP_GRACE", 60.0)
    pool = await make_pool(deaf=True)  # its workers end only when they are killed
    await pool.load("one")
    pid = pool.status()[0].pid
    assert pid is not None
    asking = asyncio.create_task(collect(pool, make_job("big")))
    await until(lambda: not pool.status())
    asking.cancel()
    await asyncio.sleep(0.05)
    assert not asking.done()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not exists(pid)


async def test_the_first_to_wait_is_the_first_to_look() -> None:
    turns, seen, room = Turns(8), list[int](), False

    async def attempt(number: int) -> int:
        if not room:
            raise Crowded("full")
        seen.append(number)
        return number

    tasks = [asyncio.create_task(turns.take(lambda n=n: attempt(n), 60)) for n in range(3)]  # type: ignore[misc]
    await until(lambda: turns.waiting == 3)
    turns.changed()
    await asyncio.sleep(0)
    await until(lambda: turns.waiting == 3)
    room = True
    turns.changed()
    assert await asyncio.gather(*tasks) == [0, 1, 2] == seen


async def test_finished_waits_although_it_is_cancelled_again_and_again() -> None:
    end = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(finished(end))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    end.set_result(None)
    with pytest.raises(asyncio.CancelledError):
        await waiting
