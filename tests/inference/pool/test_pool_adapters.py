"""Adapters in the pool: checked against their model, their memory counted, others unloaded for it."""

from __future__ import annotations

import asyncio

import pytest
from fakes.pool import MODELS, FakeModel, MakePool, collect, make_job, plan, resolve, text, until
from msgspec import structs

from mongarsd.ground.errors import BadRequest, Busy, DoesNotFit, ModelNotFound
from mongarsd.ground.job import Job
from mongarsd.inference.pool.plan import Model, WorkerPlan
from mongarsd.inference.worker.protocol import AdapterPlan

ONE, TWO = MODELS[0], MODELS[1]
ADAPTERS = [
    FakeModel(f"one:{name}", "sha256:" + letter * 64, size=size, base=ONE.digest)
    for name, letter, size in [("small", "a", 30), ("other", "c", 30), ("large", "e", 61)]
]
SMALL, OTHER, LARGE = (adapter.digest for adapter in ADAPTERS)


def find(name: str) -> Model:
    return next((adapter for adapter in ADAPTERS if adapter.digest == name), None) or resolve(name)


def with_adapters(model: Model) -> WorkerPlan:
    return structs.replace(plan(model), adapters=AdapterPlan(directory="/", bytes=60))


def ask(adapter: str, model: str = "one", **script: object) -> Job:
    return structs.replace(make_job(model, **script), adapter=adapter)


async def test_an_adapters_memory_is_counted_and_an_idle_model_goes_for_it(make_pool: MakePool) -> None:
    pool = await make_pool(settings={"memory_budget": 230}, resolve=find, plan=with_adapters)
    await collect(pool, make_job("two", tokens=1))
    assert text(await collect(pool, ask(SMALL, tokens=3)))
    assert {worker.name for worker in pool.status()} == {"one", "two"}
    assert text(await collect(pool, ask(SMALL, tokens=3)))  # counted once
    assert {worker.name for worker in pool.status()} == {"one", "two"}
    assert text(await collect(pool, ask(OTHER, tokens=3)))
    assert {worker.name for worker in pool.status()} == {"one"}


async def test_it_waits_until_the_model_in_the_way_has_answered(make_pool: MakePool) -> None:
    pool = await make_pool(settings={"memory_budget": 210}, resolve=find, plan=with_adapters, step=0.01)
    await pool.load("one")
    running = pool.run(make_job("two", tokens=100_000))
    await anext(running)
    waiting = asyncio.create_task(collect(pool, ask(SMALL, tokens=3)))
    await until(lambda: pool.waiting == 1)
    await pool.unload("one")  # its own model may even go meanwhile
    assert pool.waiting == 1
    await running.aclose()
    assert text(await waiting)
    assert {worker.name for worker in pool.status()} == {"one"}


async def test_a_closing_pool_sends_away_who_waits(make_pool: MakePool) -> None:
    pool = await make_pool(settings={"memory_budget": 210}, resolve=find, plan=with_adapters, step=0.01)
    await pool.load("one")
    running = pool.run(make_job("two", tokens=100_000))
    await anext(running)
    waiting = asyncio.create_task(collect(pool, ask(SMALL, tokens=3)))
    await until(lambda: pool.waiting == 1)
    closing = asyncio.create_task(pool.close())
    with pytest.raises(Busy, match="shutting down"):
        await waiting
    await closing
    await running.aclose()


async def test_a_busy_model_does_not_go_for_it(make_pool: MakePool) -> None:
    pool = await make_pool(settings={"memory_budget": 210}, resolve=find, plan=with_adapters, step=0.01)
    await pool.load("one")
    running = pool.run(make_job("two", tokens=1000))
    await anext(running)
    with pytest.raises(Busy):
        await collect(pool, structs.replace(ask(SMALL, tokens=1), deadline=0.05))
    await running.aclose()
    assert text(await collect(pool, ask(SMALL, tokens=1)))


@pytest.mark.parametrize(
    ("job", "error"),
    [
        (ask(LARGE), DoesNotFit),
        (ask(SMALL, "two"), BadRequest),
        (ask(TWO.digest), BadRequest),
        (ask("sha256:" + "9" * 64), ModelNotFound),
    ],
)
async def test_what_cannot_be_adapted_is_refused(make_pool: MakePool, job: Job, error: type[Exception]) -> None:
    pool = await make_pool(resolve=find, plan=with_adapters)
    with pytest.raises(error):
        await collect(pool, job)
