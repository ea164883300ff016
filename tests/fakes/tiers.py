"""An engine whose cells have tiers behind them, over the fake backend, in a folder of the test's own."""

from __future__ import annotations

import threading
from pathlib import Path

from fakes.engine import Bench, answer, job, load

from mongarsd.inference.cache.store import PrefixStore
from mongarsd.inference.engine.base import BLOCK
from mongarsd.inference.engine.checkpoints import Checkpoints
from mongarsd.inference.engine.fake import FakeBackend
from mongarsd.inference.engine.loop import Engine
from mongarsd.inference.engine.scheduler import Scheduler
from mongarsd.inference.engine.tiers import Tiers
from mongarsd.inference.engine.uncut import UncutCells
from mongarsd.inference.worker.protocol import CachePlan, TierStats

SLOTS_CONTEXT = 2048
MAX_GAP = 0.25


class Tiered(Bench):
    """A Bench with tiers; `kind` makes its model one that needs checkpoints."""

    def __init__(
        self, folder: Path, kind: str = "", *, slots: int = 2, ram: int = 0, disk: int = 0, daily: int = 1 << 30
    ) -> None:
        super().__init__(slots=slots, context=SLOTS_CONTEXT, batch=512)
        plan = CachePlan(directory=str(folder), ram=ram, disk=disk, disk_writes_per_day=daily)
        self.woken = threading.Event()
        self.store = PrefixStore(plan, BLOCK, self.clock, ("model", kind), self.woken.set)
        tiers = Tiers
        if kind:
            self.backend = FakeBackend(load(slots, SLOTS_CONTEXT, path=f"fake?kind={kind}"))
            cells = UncutCells(slots, cuts=self.backend.info.cuts)
            self.scheduler = Scheduler(
                slots=slots, context=SLOTS_CONTEXT, queue=8, max_gap=MAX_GAP, batch=512, cells=cells
            )
            tiers = Checkpoints
        self.tiers = tiers(self.backend, self.scheduler.cells, self.store, slots, MAX_GAP, self.clock)
        self.engine = Engine(self.backend, self.scheduler, self.clock, "here", self.tiers)

    def settle(self) -> None:
        """The idle time that a worker would have."""
        for _ in range(1000):
            self.woken.clear()
            if not self.engine.idle() and not self.store.save():
                return
            self.woken.wait(0.03)
        raise AssertionError("idle work does not end")

    def finish(self) -> None:
        """Step until nothing is left to do; files are read meanwhile."""
        for _ in range(5000):
            self.woken.clear()
            self.step()
            if not self.engine.busy:
                if not len(self.scheduler.waiting):
                    return
                self.woken.wait(0.03)
        raise AssertionError("the engine does not come to an end")

    def ask(self, name: str, text: str, max_tokens: int = 8) -> int:
        """Runs a job, checks what it says; how many tokens were cached."""
        self.submit(job(name, text, max_tokens=max_tokens))
        self.finish()
        self.check(name, text, max_tokens)
        return self.started(name).cached

    def check(self, name: str, text: str, max_tokens: int) -> None:
        assert self.text(name).encode() == answer(text, max_tokens, SLOTS_CONTEXT)
        assert self.finished(name).usage.cached == self.started(name).cached

    def tier(self, name: str) -> TierStats:
        return next(tier for tier in self.engine.pulse().cache.tiers if tier.tier == name)
