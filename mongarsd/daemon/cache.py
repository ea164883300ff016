"""The prefix cache seen from the daemon: its budgets with reasons, what it holds, and how it is cleared."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Literal

from msgspec import structs

from mongarsd.ground.settings import CacheSettings
from mongarsd.ground.status import CacheStatus, CacheTier, Reasoned
from mongarsd.inference.cache import disk
from mongarsd.inference.cache.writes import WRITES, written_today
from mongarsd.inference.pool.plan import WorkerPlan
from mongarsd.inference.pool.pool import Pool
from mongarsd.inference.worker.protocol import CachePlan
from mongarsd.tuning.profile import human

RAM_SHARE = 0.1  # of the memory budget
DISK_SHARE = 0.05  # of the free space
MOST_DISK = 2 * 1024**3  # bytes: about 100,000 tokens of a model of 1B parameters


class CacheBudgets:
    """Fixed at start, so that a disk that fills up does not shrink what is there already."""

    def __init__(self, settings: CacheSettings, memory_budget: int, state: Path) -> None:
        self.directory = state / "cache" / "prefix"
        self._memory = memory_budget
        self.writes = settings.disk_writes_per_day
        self.ram = int(memory_budget * RAM_SHARE) if settings.ram == "auto" else settings.ram
        why = f"{RAM_SHARE:.0%} of the memory budget, for each model"
        self.reasons = [Reasoned("cache_ram", human(self.ram), why if settings.ram == "auto" else "set by you")]
        self.disk, why = _free_share(state) if settings.disk == "auto" else (settings.disk, "set by you")
        if not self.writes:
            self.disk, why = 0, "off, because nothing may be written (cache.disk_writes_per_day)"
        self.reasons.append(Reasoned("cache_disk", human(self.disk), why))

    def give(self, plan: WorkerPlan) -> WorkerPlan:
        """The same plan with its cache. RAM is only what the model leaves of the budget."""
        if plan.kind != "chat":
            return plan
        ram = max(0, min(self.ram, self._memory - plan.memory))
        cache = CachePlan(directory=str(self.directory), ram=ram, disk=self.disk, disk_writes_per_day=self.writes)
        return structs.replace(plan, cache=cache, memory=plan.memory + ram)


class NodeCache:
    """Implements `mongarsd.api.parts.Cache`."""

    def __init__(self, budgets: CacheBudgets, pool: Pool) -> None:
        self._budgets, self._pool = budgets, pool

    async def status(self) -> CacheStatus:
        return await asyncio.to_thread(self._status)

    async def clear(self) -> CacheStatus:
        self._pool.clear_cache()
        await asyncio.to_thread(disk.clear, self._budgets.directory)
        return await self.status()

    def _status(self) -> CacheStatus:
        """Lists the directory: about 10 ms for 1,400 files."""
        budgets, meter = self._budgets, self._pool.cache
        held = {name: int(size) for (name,), size in self._pool.cache_held().items()}
        held["disk"] = sum(found.size for found in disk.scan(budgets.directory))
        limits = {"kv": 0, "ram": budgets.ram, "disk": budgets.disk}

        def tier(name: Literal["kv", "ram", "disk"]) -> CacheTier:
            hits, tokens, gone = (int(counter[(name,)]) for counter in (meter.hits, meter.tokens, meter.evictions))
            return CacheTier(name=name, bytes=held[name], budget=limits[name], hits=hits, tokens=tokens, evictions=gone)

        return CacheStatus(
            directory=str(budgets.directory),
            tiers=(tier("kv"), tier("ram"), tier("disk")),
            misses=int(meter.misses[()]),
            written_today=written_today(budgets.directory / WRITES, time.time()),
            writes_per_day=budgets.writes,
        )


def _free_share(state: Path) -> tuple[int, str]:
    """What the cache holds already counts as free."""
    held = sum(found.size for found in disk.scan(state / "cache" / "prefix"))
    size = min(MOST_DISK, int((shutil.disk_usage(state).free + held) * DISK_SHARE))
    return size, f"{DISK_SHARE:.0%} of the free space, at most 2 GiB"
