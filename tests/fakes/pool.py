"""Models, jobs and helpers for tests of the pool over the scriptable worker process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from fakes import worker_process
from fakes.worker_process import JobScript, Script
from msgspec import Struct

from mongarsd.ground.errors import ModelNotFound
from mongarsd.ground.job import Delta, Event, Job
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.pool.plan import Model, WorkerPlan
from mongarsd.inference.pool.pool import Pool

_ids = count()


class FakeModel(Struct, frozen=True):
    name: str
    digest: str
    path: Path = Path("/nowhere.gguf?step=0.002")  # what the engine's fake backend reads
    size: int = 1000
    base: str = ""


MODELS = [FakeModel(name, "sha256:" + letter * 64) for name, letter in [("one", "1"), ("two", "2"), ("big", "b")]]


def resolve(name: str) -> Model:
    for model in MODELS:
        if name in (model.name, model.digest):
            return model
    raise ModelNotFound(f"There is no model {name!r}.", param="model")


def plan(model: Model) -> WorkerPlan:
    memory = 1000 if model.name == "big" else 100
    return WorkerPlan(slots=8, context=512, decode_threads=1, prefill_threads=1, memory=memory)


def make_job(model: str = "one", *, seed: int = 0, job: str = "", deadline: float | None = None, **script: Any) -> Job:
    return Job(
        id=job or f"{next(_ids):032x}",
        model=model,
        text=msgspec.json.encode(JobScript(**script)).decode(),
        sampling=Sampling(seed=seed),
        deadline=deadline,
    )


def worker_command(**script: Any) -> list[str]:
    return [sys.executable, worker_process.__file__, msgspec.json.encode(Script(**script)).decode()]


MakePool = Callable[..., Awaitable[Pool]]


async def collect(pool: Pool, job: Job) -> list[Event]:
    return [event async for event in pool.run(job)]


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what other processes do: long enough for a crowded machine, and for what stays true once it is."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nothing in this process could set an event
            await asyncio.sleep(0.005)


def open_descriptors() -> set[tuple[str, str]]:
    """Each with what it leads to: what is new can be told, whatever else is closed meanwhile."""
    found = set()
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are enough
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))  # noqa: PTH115
    return found


def exists(pid: int | None) -> bool:
    return Path(f"/proc/{pid}").exists()


def alive(pid: int) -> bool:
    """Does it run? A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
