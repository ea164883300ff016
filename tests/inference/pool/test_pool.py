from __future__ import annotations

import asyncio
import socket

import pytest
from fakes.pool import MakePool, collect, exists, make_job, open_descriptors, text, until
from fakes.worker_process import whole_text

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import (
    BadRequest,
    Busy,
    Conflict,
    DeadlineExceeded,
    DoesNotFit,
    InvalidModel,
    ModelNotFound,
    TooLarge,
)
from mongarsd.ground.job import Delta, Failed, Finished, FinishReason, Started
from mongarsd.ground.metrics import Metrics
from mongarsd.inference.pool import link, supervisor


async def test_a_job_loads_its_model_and_streams(make_pool: MakePool) -> None:
    pool = await make_pool()
    assert pool.status() == []
    job = make_job("one", seed=5, tokens=30)
    first, *deltas, last = await collect(pool, job)
    assert first == Started(job.id, "here", first.queue, 7)
    assert text(deltas) == whole_text(5, 30)
    assert isinstance(last, Finished)
    assert (last.reason, last.usage.prompt, last.usage.completion) == (FinishReason.LENGTH, 7, 30)
    (status,) = pool.status()
    assert (status.name, status.state, status.context, status.slots) == ("one", "ready", 512, 8)
    assert status.memory > 1_000_000


async def test_time_spent_loading_counts_as_queue(make_pool: MakePool) -> None:
    pool = await make_pool(load_seconds=0.2)
    first, *_, last = await collect(pool, make_job())
    assert first.queue > 0.2
    assert last.timings.queue == first.queue
    assert (last.timings.prefill, last.timings.decode) == (0.5, 0.25)


async def test_callers_share_one_load(make_pool: MakePool) -> None:
    pool = await make_pool(load_seconds=0.05)
    jobs = [make_job(name, seed=seed) for seed, name in enumerate(["one", "sha256:" + "1" * 64] * 6)]
    *answers, _ = await asyncio.gather(*(collect(pool, job) for job in jobs), pool.load("one"))
    assert [text(answer) for answer in answers] == [whole_text(seed, 20) for seed in range(12)]
    assert len(pool.status()) == 1


async def test_an_unknown_model_is_refused(make_pool: MakePool) -> None:
    pool = await make_pool()
    with pytest.raises(ModelNotFound):
        await collect(pool, make_job("none"))


async def test_a_refused_load_reaches_all_callers_and_rests(make_pool: MakePool) -> None:
    clock = FakeClock()
    pool = await make_pool(refuse="invalid_model", clock=clock)
    results = await asyncio.gather(
        collect(pool, make_job()), collect(pool, make_job()), pool.load("one"), return_exceptions=True
    )
    assert [type(result) for result in results] == [InvalidModel] * 3
    (failed,) = pool.status()
    assert (failed.state, failed.error) == ("failed", "refused by the script")
    await until(lambda: pool.status()[0].pid is None)
    with pytest.raises(InvalidModel):  # at once, from memory
        await collect(pool, make_job())
    assert pool.status()[0].pid is None
    clock.advance(15)
    with pytest.raises(InvalidModel):  # from a new worker
        await collect(pool, make_job())
    assert pool.status()[0].pid is not None


@pytest.mark.parametrize(("code", "error"), [("invalid_request", BadRequest), ("busy", Busy)])
async def test_a_failure_before_the_start_is_raised(make_pool: MakePool, code: str, error: type[Exception]) -> None:
    pool = await make_pool()
    with pytest.raises(error) as caught:
        await collect(pool, make_job(refuse=code))
    assert caught.value.param == "text"


async def test_a_failure_after_the_start_is_an_event(make_pool: MakePool) -> None:
    pool = await make_pool()
    *_, last = await collect(pool, make_job(fail_at=3))
    assert isinstance(last, Failed)


async def test_the_workers_full_queue_is_busy(make_pool: MakePool) -> None:
    pool = await make_pool(settings={"queue": 1})
    await pool.load("one")
    asked = [asyncio.create_task(collect(pool, make_job(tokens=100_000))) for _ in range(12)]
    await until(lambda: sum(task.done() for task in asked) == 3)
    refused = [task.exception() for task in asked if task.done()]
    assert all(isinstance(error, Busy) and error.detail["retry_after"] == 3 for error in refused)
    await until(lambda: (pool.status()[0].busy_slots, pool.status()[0].queued) == (8, 1))
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_the_queue_is_bounded_while_loading(make_pool: MakePool) -> None:
    pool = await make_pool(settings={"queue": 1}, load_seconds=0.2)
    results = await asyncio.gather(*(collect(pool, make_job()) for _ in range(12)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, Busy)]
    assert len(refused) == 3
    assert refused[0].detail["position"] == 9
    assert refused[0].detail["retry_after"] >= 1


async def test_the_same_id_twice_is_a_conflict(make_pool: MakePool) -> None:
    pool = await make_pool()
    first = asyncio.create_task(collect(pool, make_job(job="a", tokens=100)))
    await until(lambda: bool(pool.status()))
    with pytest.raises(Conflict):
        await collect(pool, make_job(job="a"))
    assert text(await first) == whole_text(0, 100)


async def test_100_clients_that_vanish_leave_nothing(make_pool: MakePool) -> None:
    pool = await make_pool(pulse=0.01, settings={"queue": 200})
    await pool.load("one")
    tasks = len(asyncio.all_tasks())
    descriptors = open_descriptors()

    async def vanish(number: int) -> None:
        events = pool.run(make_job(tokens=100_000))
        if number < 8:
            async for event in events:
                if isinstance(event, Delta):
                    break
            await events.aclose()
        else:
            reading = asyncio.create_task(anext(events))
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    await asyncio.gather(*(vanish(number) for number in range(100)))
    assert len(asyncio.all_tasks()) == tasks
    assert not open_descriptors() - descriptors
    assert all(len(s.jobs) == 0 for s in pool._residents)
    await until(lambda: pool.status()[0].busy_slots == pool.status()[0].queued == 0)
    assert text(await collect(pool, make_job(seed=1))) == whole_text(1, 20)


async def test_a_client_may_vanish_while_the_model_loads(make_pool: MakePool) -> None:
    pool = await make_pool(load_seconds=0.1)
    reading = asyncio.create_task(collect(pool, make_job()))
    await until(lambda: bool(pool.status()))
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await pool.load("one")
    assert pool.status()[0].state == "ready"


async def test_a_slow_reader_gets_everything_in_few_events(make_pool: MakePool) -> None:
    pool = await make_pool(step=0.0)
    events = pool.run(make_job(seed=3, tokens=3000))
    got = [await anext(events)]
    (supervisor_,) = pool._residents
    await until(lambda: len(supervisor_.jobs) == 0)
    got += [event async for event in events]
    assert text(got) == whole_text(3, 3000)
    assert len(got) < 10


async def test_a_deadline_passes_while_the_model_loads(make_pool: MakePool) -> None:
    pool = await make_pool(mute=True, settings={"hang_timeout": 1.0})
    with pytest.raises(DeadlineExceeded):
        await collect(pool, make_job(deadline=0.1))


async def test_a_worker_that_does_not_read_makes_it_busy(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MAX_BACKLOG", 100_000)
    monkeypatch.setattr(supervisor, "STOP_GRACE", 0.1)
    pool = await make_pool(deaf=True)
    await pool.load("one")
    big = make_job()
    big = type(big)(id="b", model="one", text="x" * 1_000_000)
    stuck = asyncio.create_task(collect(pool, big))
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await collect(pool, make_job())
    stuck.cancel()
    await pool.close()
    await asyncio.gather(stuck, return_exceptions=True)


async def test_a_job_over_the_frame_limit_is_too_large(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mongarsd.ground.frames.MAX_FRAME", 10_000)
    pool = await make_pool()
    big = make_job()
    big = type(big)(id="b", model="one", text="x" * 10_000)
    with pytest.raises(TooLarge):  # found when the worker is ready
        await collect(pool, big)
    with pytest.raises(TooLarge):  # found at once
        await collect(pool, big)
    assert text(await collect(pool, make_job())) == whole_text(0, 20)


async def test_least_recently_used_makes_room(make_pool: MakePool) -> None:
    pool = await make_pool(settings={"memory_budget": 1000})
    await collect(pool, make_job("one"))
    await collect(pool, make_job("two"))
    pid = pool.status()[0].pid
    await collect(pool, make_job("big"))
    assert [status.name for status in pool.status()] == ["big"]
    assert not exists(pid)


async def test_busy_models_are_not_unloaded(make_pool: MakePool) -> None:
    pool = await make_pool(settings={"room_wait": 0.05})
    stream = pool.run(make_job("one", tokens=100_000))
    await anext(stream)
    with pytest.raises(Busy):
        await collect(pool, make_job("big"))
    await stream.aclose()
    await collect(pool, make_job("big"))


async def test_what_never_fits_is_said_with_numbers(make_pool: MakePool) -> None:
    pool = await make_pool(settings={"memory_budget": 999})
    with pytest.raises(DoesNotFit) as caught:
        await collect(pool, make_job("big"))
    assert caught.value.detail == {"need": 1000, "have": 999}


async def test_idle_models_go(make_pool: MakePool) -> None:
    clock = FakeClock()
    pool = await make_pool(clock=clock, settings={"keep_alive": 60.0})
    await collect(pool, make_job())
    clock.advance(59)
    pool.tick()
    assert pool.status()[0].expires_in == 1
    clock.advance(1)
    pool.tick()
    await until(lambda: not pool.status())


async def test_keep_alive_zero_unloads_after_the_job(make_pool: MakePool) -> None:
    pool = await make_pool()
    await pool.load("one", keep_alive=0)
    pool.tick()
    assert text(await collect(pool, make_job())) == whole_text(0, 20)
    await until(lambda: not pool.status())
    await collect(pool, make_job())
    assert pool.status()[0].expires_in is None  # the override ended with the load


async def test_what_has_jobs_is_not_unloaded(make_pool: MakePool) -> None:
    pool = await make_pool()
    assert await pool.unload("one") is False
    stream = pool.run(make_job(tokens=100_000))
    await anext(stream)
    with pytest.raises(Conflict):
        await pool.unload("one")
    pid = pool.status()[0].pid
    await stream.aclose()
    assert await pool.unload("one") is True
    assert not exists(pid)


async def test_close_ends_what_runs_and_takes_nothing_new(make_pool: MakePool) -> None:
    pool = await make_pool()
    running = asyncio.create_task(collect(pool, make_job(tokens=100_000)))
    await until(lambda: bool(pool.status()) and pool.status()[0].busy_slots == 1)
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0)
    with pytest.raises(Busy) as caught:
        await collect(pool, make_job())
    assert caught.value.detail["retry_after"] > 0
    await closing
    await pool.close()
    last = (await running)[-1]
    assert isinstance(last, Failed)
    assert last.error.code == "busy"
    assert pool.status() == []


async def test_close_while_loading(make_pool: MakePool) -> None:
    pool = await make_pool(mute=True)
    loading = asyncio.create_task(pool.load("one"))
    await until(lambda: bool(pool.status()))
    closing = asyncio.create_task(pool.close())
    with pytest.raises(Conflict):
        await loading
    await closing


async def test_what_is_counted(make_pool: MakePool) -> None:
    metrics = Metrics()
    pool = await make_pool(metrics=metrics, pulse=0.01)
    await collect(pool, make_job())
    with pytest.raises(BadRequest):
        await collect(pool, make_job(refuse="invalid_request"))
    stream = pool.run(make_job(tokens=100_000))
    await anext(stream)
    await stream.aclose()
    families = {metric.name: metric for metric in metrics}
    jobs = families["mongarsd_jobs_total"]
    assert [jobs[(outcome,)] for outcome in ("length", "refused", "cancelled")] == [1, 1, 1]
    assert families["mongarsd_prompt_tokens_total"][()] == 14
    assert families["mongarsd_completion_tokens_total"][()] >= 20
    assert sum(families["mongarsd_first_token_seconds"].counts[()]) >= 1
    assert sum(families["mongarsd_inter_token_seconds"].counts[()]) >= 19
    assert families["mongarsd_models_loaded"].read() == {(): 1}
    assert families["mongarsd_worker_memory_bytes"].read()[("one",)] > 0


async def test_estimate_before_and_after_loading(make_pool: MakePool) -> None:
    pool = await make_pool(pulse=0.01)
    cold = pool.estimate(make_job())
    assert "loading" in cold.why
    await pool.load("one")
    await until(lambda: next(iter(pool._residents)).pulse is not None)
    warm = pool.estimate(make_job())
    assert warm.first_token < cold.first_token
    assert "measured" in warm.why


async def test_garbage_from_the_worker_is_a_crash() -> None:
    lost = asyncio.Event()
    ours = link.Link(lambda message: None, lost.set)
    a, b = socket.socketpair()
    await asyncio.get_running_loop().create_unix_connection(lambda: ours, sock=a)
    b.send(b"\x01\x00\x00\x00\xc1")
    await asyncio.wait_for(lost.wait(), 20)
    b.close()
