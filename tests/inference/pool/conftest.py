"""Pools over the scriptable worker process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakes.pool import MakePool, plan, resolve, worker_command

from mongarsd.ground.clock import SystemClock
from mongarsd.ground.metrics import Metrics
from mongarsd.inference.pool.plan import PoolSettings
from mongarsd.inference.pool.pool import Pool

PARTS = ("clock", "command", "metrics", "plan", "resolve")
OOM = ("oom_kills", "lessen")


@pytest.fixture
async def make_pool() -> AsyncIterator[MakePool]:
    """`await make_pool(step=…, settings={…}, clock=…)`: a started pool; other keywords go to the worker's Script."""
    pools: list[Pool] = []

    async def make(*, settings: dict[str, Any] | None = None, **options: Any) -> Pool:
        arguments = {key: options.pop(key) for key in (*PARTS, *OOM) if key in options}
        defaults = {
            "clock": SystemClock(),
            "command": worker_command(**options),
            "metrics": Metrics(),
            "plan": plan,
            "resolve": resolve,
        }
        limits = PoolSettings(**({"memory_budget": 1000} | (settings or {})))
        pool = Pool(node="here", settings=limits, **(defaults | arguments))
        pools.append(pool)
        await pool.start()
        return pool

    yield make
    for pool in pools:
        await pool.close()
