"""The models in memory: who comes, who goes for whom, and how long an idle one may stay."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from mongarsd.ground.errors import Busy, Conflict, DoesNotFit, MongarsError
from mongarsd.ground.tasks import Tasks
from mongarsd.inference.pool.budget import Loaded, make_room
from mongarsd.inference.pool.keep_alive import expires_in
from mongarsd.inference.pool.plan import Model, WorkerPlan
from mongarsd.inference.pool.supervisor import Supervisor, Surroundings, WorkerState
from mongarsd.inference.pool.turns import Turns, finished

log = logging.getLogger(__name__)

#: Seconds a client should wait for a node that is being shut down, or for its successor.
CLOSING_RETRY = 10


class Residents:
    """A supervisor for each model that is in memory, or failed to get there. One comes or goes at a time, so that the
    budget holds."""

    def __init__(self, plan: Callable[[Model], WorkerPlan], around: Surroundings, tasks: Tasks) -> None:
        self.keep_alive = around.settings.keep_alive  # of every model that was not given its own
        self.loads: Counter[str] = Counter()  # by digest
        self._plan = plan
        self._around = around
        self._settings = around.settings
        self._clock = around.clock
        self._tasks = tasks
        self._supervisors: dict[str, Supervisor] = {}  # by digest
        self._keep_alive: dict[str, float] = {}  # by digest: what a request or load asked for
        self._placing = asyncio.Lock()
        self._turns = Turns(self._settings.queue)
        self._closing = False

    def __iter__(self) -> Iterator[Supervisor]:
        return iter(tuple(self._supervisors.values()))

    def find(self, digest: str) -> Supervisor | None:
        return self._supervisors.get(digest)

    @property
    def waiting(self) -> int:
        """Requests that wait for busy models to leave room for theirs."""
        return self._turns.waiting

    def tick(self) -> None:
        """Look after hung workers, late jobs and idle models."""
        now = self._clock.monotonic()
        for supervisor in self:
            supervisor.tick(now)
            self._expire(supervisor)
        self._turns.changed()  # whatever it was that made room

    async def close(self) -> None:
        """Nobody comes any more, and all jobs end with Busy. Idempotent."""
        self._closing = True
        self._turns.changed()
        async with self._placing:
            await self._retire(*self, why=self._shutting_down())

    # Coming:

    async def take(
        self, model: Model, adapter: Model | None = None, *, seconds: float | None = None, patient: bool = True
    ) -> Supervisor:
        """The model's supervisor, the adapter's memory counted; a new one when it is not loaded, as soon as busy
        models leave it room.

        `seconds`: that the caller can wait for room, `room_wait` at most. `patient`: leave a failed model its rest.
        Raises DoesNotFit, Busy, and what made the model fail.
        """
        most = self._settings.room_wait
        until = self._clock.monotonic() + (most if seconds is None else min(most, seconds))

        def left() -> float:
            return until - self._clock.monotonic()

        while True:
            supervisor = await self._turns.take(partial(self._place, model, patient), left())
            if adapter is None or adapter.digest in supervisor.adapters:
                return supervisor
            await self._turns.take(partial(self._place_adapter, adapter, supervisor), left())

    async def _place(self, model: Model, patient: bool) -> Supervisor:
        """Raises Crowded when only busy models are in the way."""
        if found := self._usable(model, patient):
            return found
        async with self._placing:
            if found := self._usable(model, patient):
                return found
            plan = self._plan(model)
            await self._make_room(model, plan.memory)
            if failed := self._supervisors.get(model.digest):
                await finished(failed.life)  # its worker may still be on its way out
            if self._closing:
                raise self._shutting_down()
            self.loads[model.digest] += 1
            return self._open(model, plan)

    async def _place_adapter(self, adapter: Model, supervisor: Supervisor) -> None:
        """Raises Crowded when only busy models are in the way. Does nothing if the supervisor has gone."""
        async with self._placing:
            if self._usable(supervisor.model, patient=True) is not supervisor or adapter.digest in supervisor.adapters:
                return
            limit = supervisor.plan.adapters.bytes
            if adapter.size > limit:
                raise DoesNotFit(
                    f"The adapter {adapter.name} needs {adapter.size / 1e6:,.0f} MB, and adapters may have"
                    f" {limit / 1e6:,.0f} MB of memory: choose a smaller one.",
                    need=adapter.size,
                    have=limit,
                )
            before = supervisor.memory
            supervisor.adapters[adapter.digest] = adapter.size
            try:
                await self._make_room(supervisor.model, supervisor.memory - before, before)
            except MongarsError:
                del supervisor.adapters[adapter.digest]
                raise

    async def _make_room(self, model: Model, need: int, held: int = 0) -> None:
        """For `need` more bytes of a model that has `held`. Raises DoesNotFit, Crowded."""
        others = [s for s in self if s.state is not WorkerState.FAILED and s.model.digest != model.digest]
        loaded = [Loaded(s.model.digest, s.memory, s.idle_since) for s in others]
        victims = make_room(loaded, need, self._settings.memory_budget - held, self._settings.workers)
        gone = Conflict("The model was unloaded to make room.")
        await self._retire(*(self._supervisors[digest] for digest in victims), why=gone)

    def _open(self, model: Model, plan: WorkerPlan) -> Supervisor:
        supervisor = Supervisor(model, plan, self._around, on_idle=self._calm)
        self._supervisors[model.digest] = supervisor
        supervisor.start(self._tasks)
        return supervisor

    def _usable(self, model: Model, patient: bool) -> Supervisor | None:
        if self._closing:
            raise self._shutting_down()
        supervisor = self._supervisors.get(model.digest)
        if supervisor is None or supervisor.state is not WorkerState.FAILED:
            return supervisor
        rested = self._clock.monotonic() - supervisor.failed_at >= self._settings.cool_down
        if patient and not rested and supervisor.error is not None:
            raise supervisor.error
        return None

    # Going:

    async def unload(self, digest: str) -> bool:
        """Free the model's memory; False if it was not loaded. Raises Conflict when it has jobs."""
        async with self._placing:
            supervisor = self._supervisors.get(digest)
            if supervisor is None:
                return False
            name = supervisor.model.name
            if jobs := len(supervisor.jobs):
                message = f"The model {name} is still answering (requests: {jobs}): wait for the end."
                raise Conflict(message, jobs=jobs)
            await self._retire(supervisor, why=Conflict(f"The model {name} was unloaded."))
        return True

    async def reload(self, digest: str, why: str) -> bool:
        """Start a model's worker again with the plan of now; False if it is not idle. `why` it has less than before."""
        async with self._placing:
            old = self._supervisors.get(digest)
            if old is None or self._closing or old.state is not WorkerState.READY or old.idle_since is None:
                return False
            keep_alive = self._keep_alive.get(digest)
            plan = self._plan(old.model)
            await self._retire(old, why=Conflict("The model is loaded again with other settings."))
            new = self._open(old.model, plan)
            new.used, new.reduced = old.used, why
            if keep_alive is not None:
                self._keep_alive[digest] = keep_alive
            return True

    async def _retire(self, *supervisors: Supervisor, why: MongarsError) -> None:
        """Unload; returns when the memory is free. Hold `_placing`."""
        for supervisor in supervisors:
            self._supervisors.pop(supervisor.model.digest, None)
            self._keep_alive.pop(supervisor.model.digest, None)
            supervisor.retire(why)
        if supervisors:
            await finished(*(supervisor.life for supervisor in supervisors))

    @staticmethod
    def _shutting_down() -> Busy:
        return Busy("The node is shutting down: try again in a moment.", retry_after=CLOSING_RETRY)

    # Staying:

    def keep(self, digest: str, seconds: float) -> None:
        """Override `keep_alive` for the present load of the model, or its next."""
        self._keep_alive[digest] = seconds

    def kept(self, supervisor: Supervisor) -> float:
        """Seconds that it stays when idle; negative = for ever."""
        return self._keep_alive.get(supervisor.model.digest, self.keep_alive)

    def expires_in(self, supervisor: Supervisor) -> float | None:
        """Seconds until it is unloaded; None = never, or busy."""
        if supervisor.state is not WorkerState.READY:
            return None
        since = supervisor.idle_since
        idle_for = None if since is None else self._clock.monotonic() - since
        return expires_in(self.kept(supervisor), idle_for, used=supervisor.used)

    def _calm(self, supervisor: Supervisor) -> None:
        self._expire(supervisor)
        self._turns.changed()

    def _expire(self, supervisor: Supervisor) -> None:
        """Unload it in the background if its time has come."""
        if self.expires_in(supervisor) == 0:
            self._tasks.spawn(f"expire {supervisor.model.name}", self._unload_idle(supervisor))

    async def _unload_idle(self, supervisor: Supervisor) -> None:
        async with self._placing:
            if self._supervisors.get(supervisor.model.digest) is supervisor and self.expires_in(supervisor) == 0:
                log.info("%s was idle and is unloaded", supervisor.model.name)
                await self._retire(supervisor, why=Conflict("The model was unloaded because it was idle."))
