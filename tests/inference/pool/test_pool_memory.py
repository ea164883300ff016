"""Memory is short: workers that the kernel kills, caches that shrink, models that are loaded again with less."""

from __future__ import annotations

import asyncio
import signal

import pytest
from fakes.pool import MakePool, collect, make_job, plan, text
from fakes.worker_process import whole_text
from msgspec import structs

from mongarsd.ground.errors import ModelNotFound
from mongarsd.ground.job import Started
from mongarsd.inference.pool.oom import LOOKS, OomWatch
from mongarsd.inference.pool.plan import Model, WorkerPlan

KILLED = "was killed by SIGKILL"


def test_the_kernels_count_tells_who_killed() -> None:
    count = 3
    watch = OomWatch(lambda: count)
    assert not watch.killed(KILLED)
    count += 1
    assert not watch.killed("was killed by SIGSEGV")
    assert watch.killed(KILLED)
    assert not watch.killed(KILLED)
    count += 1
    watch.look()  # counted a moment before its end was seen
    assert watch.killed(KILLED)
    count += 1
    for _ in range(LOOKS):
        watch.look()
    assert not watch.killed(KILLED)  # that was somebody else, long ago


class Kernel:
    """Counts its kills; the pool asks after each death."""

    def __init__(self) -> None:
        self.kills = 0
        self.lessened: list[int] = []

    def count(self) -> int:
        self.kills += 1  # whatever died was killed for its memory
        return self.kills

    def lessen(self, model: Model, plan: WorkerPlan) -> WorkerPlan | None:
        self.lessened.append(plan.slots)
        return structs.replace(plan, slots=plan.slots // 2) if plan.slots > 1 else None


async def test_a_worker_that_the_kernel_killed_gets_less_and_its_jobs_go_on(
    make_pool: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    kernel = Kernel()
    pool = await make_pool(oom_kills=kernel.count, lessen=kernel.lessen, settings={"queue": 0})
    killer = make_job(seed=3, tokens=30, crash_at=10, crash_signal=int(signal.SIGKILL), crash_again=False)
    others = [asyncio.create_task(collect(pool, make_job(seed=s, tokens=60))) for s in range(7)]
    events = await collect(pool, killer)
    assert text(events) == whole_text(3, 30)
    assert [e.restarted for e in events if isinstance(e, Started)] == [False, True]
    assert [text(one) for one in await asyncio.gather(*others)] == [whole_text(s, 60) for s in range(7)]
    (status,) = pool.status()
    assert status.slots == 4
    assert status.reduced.startswith("the kernel killed its worker for want of memory: 4 slots of 512 tokens now, 8 of")
    assert "want of memory" in caplog.text


async def test_jobs_are_not_to_blame_until_there_is_no_less(make_pool: MakePool) -> None:
    kernel = Kernel()
    pool = await make_pool(oom_kills=kernel.count, lessen=kernel.lessen)
    events = await collect(pool, make_job(tokens=30, crash_at=10, crash_signal=int(signal.SIGKILL)))
    assert kernel.lessened == [8, 4, 2, 1, 1]
    assert "running in 2 crashes" in events[-1].error.message  # type: ignore[union-attr]


async def test_a_kill_by_somebody_else_changes_nothing(make_pool: MakePool) -> None:
    kernel = Kernel()
    pool = await make_pool(lessen=kernel.lessen)
    await collect(pool, make_job(tokens=30, crash_at=10, crash_signal=int(signal.SIGKILL), crash_again=False))
    assert kernel.lessened == []
    assert (pool.status()[0].slots, pool.status()[0].reduced) == (8, "")


async def test_an_idle_model_is_loaded_again_with_the_plan_of_now(make_pool: MakePool) -> None:
    slots = 8

    def now(model: Model) -> WorkerPlan:
        return structs.replace(plan(model), slots=slots)

    pool = await make_pool(plan=now, pulse=0.01)
    await pool.load("one", keep_alive=99.0)
    (before,) = pool.idle()
    slots = 4
    assert await pool.reload(before.digest, "memory was short")
    await pool.load("one")
    (after,) = pool.idle()
    assert (after.slots, after.reduced) == (4, "memory was short")
    assert after.pid != before.pid
    assert pool.loads(after.digest) == 1, "nobody has to ask for it again"
    assert after.expires_in == pytest.approx(99.0, abs=5.0)
    stream = pool.run(make_job(tokens=100_000))
    events = [await anext(stream)]
    assert not await pool.reload(before.digest, "busy")
    while len(text(events)) < len(whole_text(0, 30)):
        events.append(await anext(stream))
    assert text(events).startswith(whole_text(0, 30))
    await stream.aclose()
    with pytest.raises(ModelNotFound):
        await pool.unload("nobody")
    await pool.unload("one")
    assert not await pool.reload(before.digest, "gone")
    await pool.load("one")
    assert pool.loads(before.digest) == 2
