"""The memory guard at work: looks at the board every second, and lets the pool give back what `tuning.guard` orders."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import MongarsError
from mongarsd.ground.metrics import Metrics
from mongarsd.inference.pool.status import WorkerStatus
from mongarsd.tuning.guard import Guard, Holdings, Measure, Order
from mongarsd.tuning.pressure import Pressure
from mongarsd.tuning.profile import human

log = logging.getLogger(__name__)

INTERVAL = 1.0  # seconds


class Pool(Protocol):
    """What the guard needs of the pool."""

    @property
    def caches(self) -> int: ...

    def idle(self) -> list[WorkerStatus]: ...

    def shrink(self, need: int) -> None: ...

    async def reload(self, digest: str, why: str) -> bool: ...

    async def unload(self, name: str) -> bool: ...


class Limits(Protocol):
    """What the guard needs of the knobs."""

    def halve(self, digest: str, slots: int) -> None: ...

    def lift(self) -> list[str]: ...


class MemoryGuard:
    """`run` is a task that never ends; `warning` says what a person should know."""

    def __init__(
        self, *, guard: Guard, read: Callable[[], Pressure], pool: Pool, limits: Limits, clock: Clock, metrics: Metrics
    ) -> None:
        self._guard, self._read, self._pool, self._limits, self._clock = guard, read, pool, limits, clock
        self._done = metrics.counter(
            "mongarsd_memory_guard_total", "Times memory was given back because it was short.", ("measure",)
        )
        self._last = ""

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            await self.look()

    async def look(self) -> None:
        idle = self._pool.idle()
        holdings = Holdings(caches=self._pool.caches, slots=any(worker.slots > 1 for worker in idle), idle=bool(idle))
        order = self._guard.decide(self._clock.monotonic(), self._read(), holdings)
        if order is None:
            return
        try:
            await self._obey(order, idle)
        except MongarsError as error:  # meanwhile a job came, or the model's file went: the next look decides anew
            log.info("memory: %s; %s", order.why, error.message)

    def warning(self) -> str:
        if not self._guard.why:
            return ""
        return f"memory is short: {self._guard.why}" + (f"; so far: {self._last}" if self._last else "")

    async def _obey(self, order: Order, idle: list[WorkerStatus]) -> None:
        measure, what = order.measure, str(order.measure)
        if measure is Measure.SHRINK:
            what = f"caches give back {human(min(order.need, self._pool.caches))}"
            self._pool.shrink(order.need)
        elif measure is Measure.RESTORE:
            await self._restore()
        elif measure is Measure.FEWER_SLOTS:
            worker = next(worker for worker in idle if worker.slots > 1)
            slots = worker.slots // 2
            self._limits.halve(worker.digest, worker.slots)
            what = f"{worker.name} is loaded again with {slots} instead of {worker.slots} slots"
            await self._pool.reload(worker.digest, f"memory was short: {slots} instead of {worker.slots} slots")
        else:
            what = f"{idle[0].name} was idle and is unloaded"
            await self._pool.unload(idle[0].digest)
        self._done.add(measure.name.lower())
        self._last = "" if measure is Measure.RESTORE else what
        log.warning("memory: %s; %s", order.why, what)

    async def _restore(self) -> None:
        for digest in self._limits.lift():
            await self._pool.reload(digest, "")
