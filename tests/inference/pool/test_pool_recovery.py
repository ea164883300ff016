"""Workers that crash, hang or never come up: what clients and innocent jobs see of it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path

import pytest
from fakes.pool import MakePool, collect, exists, make_job, text, until
from fakes.worker_process import whole_text

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import Busy, DeadlineExceeded
from mongarsd.ground.job import Delta, Event, Failed, Finished, FinishReason, Job, Started
from mongarsd.ground.metrics import Metrics
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.pool import supervisor as supervisor_module
from mongarsd.inference.pool.pool import Pool
from mongarsd.inference.pool.process import COMMAND


def started(events: list[Event]) -> list[bool]:
    return [event.restarted for event in events if isinstance(event, Started)]


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
async def test_a_crash_is_a_pause(make_pool: MakePool, sign: signal.Signals) -> None:
    metrics, begin = Metrics(), time.monotonic()
    pool = await make_pool(metrics=metrics)
    innocent = asyncio.create_task(collect(pool, make_job(seed=1, tokens=200)))
    job = make_job(seed=2, tokens=40, crash_at=17, crash_signal=int(sign), crash_again=False)
    events = await collect(pool, job)
    assert text(events) == whole_text(2, 40)
    assert started(events) == [False, True]
    last = events[-1]
    assert isinstance(last, Finished)
    assert (last.usage.completion, last.usage.prompt, last.timings.restarts) == (40, 7, 1)
    assert last.timings.queue == events[0].queue
    assert 0 < last.timings.decode < time.monotonic() - begin
    assert text(await innocent) == whole_text(1, 200)
    assert pool.status()[0].restarts == 1
    assert {m.name: m for m in metrics}["mongarsd_worker_restarts_total"][("one",)] == 1


async def test_two_crashes_blame_those_who_ran(make_pool: MakePool) -> None:
    pool = await make_pool(step=0.002)
    await pool.load("one")
    # Five crashes in a row without a token are tried: as many as four take, if the worker gets one at a time.
    poison = [asyncio.create_task(collect(pool, make_job(seed=9, tokens=99, crash_at=50))) for _ in range(4)]
    waiting = [asyncio.create_task(collect(pool, make_job(seed=seed))) for seed in range(4)]
    for answer in await asyncio.gather(*poison):
        last = answer[-1]
        assert isinstance(last, Failed)
        assert last.error.code == "worker_crashed"
        assert "SIGSEGV" in last.error.message
        assert whole_text(9, 50).startswith(text(answer))
    assert [text(answer) for answer in await asyncio.gather(*waiting)] == [whole_text(seed, 20) for seed in range(4)]
    assert pool.status()[0].restarts >= 2


async def test_random_kills_change_no_text(make_pool: MakePool) -> None:
    """Each round: 8 streams that start at random times, and a kill -9 at a random moment of their life."""
    chance = random.Random(8)
    pool = await make_pool(step=0.002)
    await pool.load("one")
    for number in range(6):

        async def stream(seed: int, delay: float) -> str:
            await asyncio.sleep(delay)
            return text(await collect(pool, make_job(seed=seed, tokens=40)))

        streams = [asyncio.create_task(stream(10 * number + i, chance.random() / 20)) for i in range(8)]
        await asyncio.sleep(chance.random() / 8)
        pid = pool.status()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert await asyncio.gather(*streams) == [whole_text(10 * number + i, 40) for i in range(8)]
        await until(lambda: pool.status()[0].restarts > number)  # noqa: B023 - awaited here
        await pool.load("one")
    assert pool.status()[0].restarts == 6


async def test_an_idle_worker_that_dies_is_replaced(make_pool: MakePool) -> None:
    pool = await make_pool()
    await pool.load("one")
    before = pool.status()[0].pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    await until(lambda: pool.status()[0].restarts == 1 and pool.status()[0].state == "ready")
    assert pool.status()[0].pid != before


async def test_a_hung_worker_is_replaced(make_pool: MakePool) -> None:
    clock = FakeClock()
    pool = await make_pool(clock=clock, settings={"hang_timeout": 20.0})
    stream = pool.run(make_job(seed=4, hang_at=6))
    events: list[Event] = []
    while text(events) != whole_text(4, 6):
        events.append(await anext(stream))
    stopped = Path(f"/proc/{pool.status()[0].pid}/stat")
    await until(lambda: stopped.read_text().rsplit(")", 1)[1].split()[0] == "T")
    for _ in range(11):  # 2 s count at each look
        clock.advance(2.0)
        pool.tick()
    events += [event async for event in stream]
    assert text(events) == whole_text(4, 20)
    assert started(events) == [False, True]


async def test_a_late_loop_blames_no_worker(make_pool: MakePool) -> None:
    clock = FakeClock()
    pool = await make_pool(clock=clock, settings={"hang_timeout": 20.0})
    await pool.load("one")
    pid = pool.status()[0].pid
    for _ in range(5):
        clock.advance(1000)
        pool.tick()
    await asyncio.sleep(0.05)
    assert pool.status()[0].pid == pid
    assert pool.status()[0].restarts == 0


async def test_a_load_without_end_is_given_up(make_pool: MakePool) -> None:
    pool = await make_pool(mute=True, settings={"hang_timeout": 0.2, "load_timeout": 0.3})
    with pytest.raises(Busy, match="no sign of life") as caught:
        await collect(pool, make_job())
    assert caught.value.detail["retry_after"] == 15
    assert pool.status()[0].state == "failed"


async def test_a_load_may_crash_and_succeed_later(make_pool: MakePool, tmp_path: Path) -> None:
    pool = await make_pool(crash_loads=2, counter=str(tmp_path / "loads"))
    assert text(await collect(pool, make_job(seed=6))) == whole_text(6, 20)
    assert pool.status()[0].restarts == 2


async def test_a_crash_loop_fails_the_model_until_it_has_rested(make_pool: MakePool, tmp_path: Path) -> None:
    clock = FakeClock()
    pool = await make_pool(clock=clock, crash_loads=3, counter=str(tmp_path / "loads"))
    results = await asyncio.gather(collect(pool, make_job()), pool.load("one"), return_exceptions=True)
    assert [type(result) for result in results] == [Busy, Busy]
    assert "SIGABRT" in pool.status()[0].error
    with pytest.raises(Busy):
        await collect(pool, make_job())
    clock.advance(15)
    assert text(await collect(pool, make_job(seed=7))) == whole_text(7, 20)
    assert pool.status()[0].error == ""


async def test_an_explicit_load_does_not_wait_for_the_rest(make_pool: MakePool, tmp_path: Path) -> None:
    pool = await make_pool(crash_loads=3, counter=str(tmp_path / "loads"))
    with pytest.raises(Busy):
        await pool.load("one")
    await pool.load("one")
    assert pool.status()[0].state == "ready"


async def test_a_command_that_does_not_exist_fails_clearly(make_pool: MakePool) -> None:
    pool = await make_pool(command=["/nonexistent/python"])
    with pytest.raises(Busy, match="could not be started"):
        await pool.load("one")


async def test_deadlines_shrink_over_a_crash(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker comes back too late for both: the one that ran is cut short, the one that waited is refused."""
    monkeypatch.setattr(supervisor_module.Restarts, "crashed", lambda *_, **__: 60.0)
    clock = FakeClock()
    pool = await make_pool(clock=clock)
    await pool.load("one")
    ran = asyncio.create_task(collect(pool, make_job(seed=3, deadline=6.0, tokens=100_000)))
    await until(lambda: pool.status()[0].busy_slots == 1)
    clock.advance(4.0)
    pid = pool.status()[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: pool.status()[0].state == "restarting")
    waited = asyncio.create_task(collect(pool, make_job(deadline=1.0)))
    await asyncio.sleep(0)
    clock.advance(2.0)
    pool.tick()
    with pytest.raises(DeadlineExceeded):
        await waited
    *events, last = await ran
    assert isinstance(last, Finished)
    assert last.reason is FinishReason.DEADLINE
    assert text(events) == whole_text(3, last.usage.completion)


async def test_unload_during_the_pause_before_a_restart(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module.Restarts, "crashed", lambda *_, **__: 60.0)
    pool = await make_pool(crash_loads=1000, counter="/dev/null")
    loading = asyncio.create_task(pool.load("one"))
    await until(lambda: bool(pool.status()) and pool.status()[0].state == "restarting")
    assert await pool.unload("one") is True
    await asyncio.gather(loading, return_exceptions=True)
    assert pool.status() == []


async def test_close_leaves_no_worker(make_pool: MakePool) -> None:
    pool = await make_pool()
    await pool.load("one")
    pid = pool.status()[0].pid
    await pool.close()
    assert not exists(pid)


async def through_the_real_worker(pool: Pool, *, kill: bool) -> str:
    """The engine's own fake backend, 2 ms a step."""
    job = make_job()
    sampling = Sampling(temperature=0.0, ignore_eos=True)
    job = Job(id=job.id, model="one", text="Once upon a time", max_tokens=60, sampling=sampling)
    got: list[Event] = []
    async for event in pool.run(job):
        got.append(event)
        if kill and isinstance(event, Delta):
            kill = False
            pid = pool.status()[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
    assert isinstance(got[-1], Finished)
    return text(got)


async def test_the_real_worker_goes_on_after_a_kill(make_pool: MakePool) -> None:
    pool = await make_pool(command=COMMAND, settings={"backend": "fake"})
    undisturbed = await through_the_real_worker(pool, kill=False)
    assert len(undisturbed) > 40
    assert await through_the_real_worker(pool, kill=True) == undisturbed
    await until(lambda: pool.status()[0].restarts == 1)  # a loop that is late reads the whole answer at once
