"""The local Executor: loads models on demand, runs jobs on them, unloads them when idle or in the way."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial

from msgspec import structs

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import BadRequest, Busy, Conflict, DoesNotFit, MongarsError, from_info
from mongarsd.ground.executor import Estimate
from mongarsd.ground.job import Event, Failed, Job
from mongarsd.ground.metrics import Labels, Metrics
from mongarsd.ground.tasks import OnDeath, Tasks
from mongarsd.inference.pool.budget import Loaded, make_room
from mongarsd.inference.pool.cachemeter import CacheMeter
from mongarsd.inference.pool.estimate import Situation, estimate, load_seconds
from mongarsd.inference.pool.keep_alive import expires_in
from mongarsd.inference.pool.meters import Meters
from mongarsd.inference.pool.plan import Model, PoolSettings, WorkerPlan
from mongarsd.inference.pool.process import COMMAND
from mongarsd.inference.pool.status import WorkerStatus, describe, watch
from mongarsd.inference.pool.supervisor import Supervisor, Surroundings, WorkerState
from mongarsd.inference.pool.turns import Turns, finished

log = logging.getLogger(__name__)

#: Seconds a client should wait for a node that is being shut down, or for its successor.
CLOSING_RETRY = 10


class Pool:
    """`start`, then `run`, `load` and `unload` from any task of one event loop, then `close`."""

    def __init__(
        self,
        *,
        node: str,
        resolve: Callable[[str], Model],
        plan: Callable[[Model], WorkerPlan],
        settings: PoolSettings,
        clock: Clock,
        metrics: Metrics,
        command: Sequence[str] = COMMAND,
        on_death: OnDeath | None = None,
        oom_kills: Callable[[], int] = lambda: 0,
        lessen: Callable[[Model, WorkerPlan], WorkerPlan | None] = lambda _model, _plan: None,
    ) -> None:
        """`resolve` turns a name or digest into an installed model (raises ModelNotFound); `plan` gives its knobs.

        `oom_kills` counts the processes that the kernel has killed for want of memory; `lessen` gives the plan with
        which a model is tried again after that (None: there is no smaller one).
        """
        self._resolve = resolve
        self._plan = plan
        self._settings = settings
        self._clock = clock
        self._interval = min(1.0, settings.hang_timeout / 4)
        self._around = Surroundings(
            node=node,
            settings=settings,
            clock=clock,
            meters=Meters(metrics),
            command=tuple(command),
            interval=self._interval,
            oom_kills=oom_kills,
            lessen=lessen,
        )
        self._supervisors: dict[str, Supervisor] = {}  # by digest
        self._loads: Counter[str] = Counter()  # by digest
        self._keep_alive: dict[str, float] = {}  # by digest: what a request or load asked for
        self._placing = asyncio.Lock()  # one model comes or goes at a time, so the budget holds
        self._tasks = Tasks("pool", on_death)
        self._turns = Turns(settings.queue)
        self._closing = False
        watch(self._around.meters, self.status)
        self._around.meters.crowded.source = lambda: {(): float(self.waiting)}
        self.cache.bytes.source = self.cache_held

    # Life:

    async def start(self) -> None:
        self._tasks.spawn("watch", self._watch())

    async def close(self) -> None:
        """End all jobs (with Busy: the client may come again) and workers. Idempotent."""
        self._closing = True
        self._turns.changed()
        async with self._placing:
            retired = list(self._supervisors.values())
            await self._retire(*retired, why=self._shutting_down())
        await self._tasks.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            self.tick()

    def tick(self) -> None:
        """Look after hung workers, late jobs and idle models. Called every interval by `start`'s task."""
        now = self._clock.monotonic()
        for supervisor in list(self._supervisors.values()):
            supervisor.tick(now)
            self._expire(supervisor)
        self._turns.changed()  # whatever it was that made room

    # Jobs:

    async def run(self, job: Job) -> AsyncGenerator[Event, None]:
        """Executor.run: loads the model if need be; crashes of the worker are a pause and a second Started."""
        since = self._clock.monotonic()
        try:
            model = self._resolve(job.model)
            supervisor = await self._supervise(model, deadline=job.deadline)
            if job.adapter:
                supervisor = await self._with_adapter(supervisor, job, since)
            job = job if job.model == model.digest else structs.replace(job, model=model.digest)
            stream = supervisor.submit(job, since)
        except MongarsError:
            self._around.meters.jobs.add("refused")
            raise
        try:
            await stream.arrival()
            event = stream.take()
            if isinstance(event, Failed):
                raise from_info(event.error)
            yield event
            while not stream.drained:
                await stream.arrival()
                yield stream.take()
        finally:
            supervisor.release(stream)

    def estimate(self, job: Job) -> Estimate:
        model = self._resolve(job.model)
        supervisor = self._supervisors.get(model.digest)
        if supervisor is not None and supervisor.state is not WorkerState.FAILED:
            return estimate(job, supervisor.situation())
        wait = load_seconds(model.size)
        slots = self._plan(model).slots
        return estimate(job, Situation(size=model.size, slots=slots, jobs=0, wait=wait, pulse=None))

    # Models:

    async def load(self, name: str, keep_alive: float | None = None) -> None:
        """Return when the model can answer; several callers share one load. Raises what made it fail.

        keep_alive: seconds idle before unload, for this load; negative = never, 0 = at once after the next job.
        """
        model = self._resolve(name)
        if keep_alive is not None:
            self.set_keep_alive(name, keep_alive)
        supervisor = await self._supervise(model, patient=False)
        await supervisor.ready()

    def set_keep_alive(self, name: str, keep_alive: float) -> None:
        """Override the default for the present load of the model, or its next."""
        self._keep_alive[self._resolve(name).digest] = keep_alive

    def set_default_keep_alive(self, keep_alive: float) -> None:
        """For every model that was not given its own; counts from the next tick."""
        self._settings = structs.replace(self._settings, keep_alive=keep_alive)

    async def unload(self, name: str, *, force: bool = False) -> bool:
        """Free the model's memory; False if it was not loaded. Raises Conflict when it has jobs, unless `force`."""
        digest = self._digest(name)
        async with self._placing:
            supervisor = self._supervisors.get(digest)
            if supervisor is None:
                return False
            if (jobs := len(supervisor.jobs)) and not force:
                message = f"The model {supervisor.model.name} is still answering (requests: {jobs}): wait for the end."
                raise Conflict(message, jobs=jobs)
            await self._retire(supervisor, why=Conflict(f"The model {supervisor.model.name} was unloaded."))
        return True

    def status(self) -> list[WorkerStatus]:
        """Facts of every model in memory, and of those that failed."""
        now = self._clock.monotonic()
        return [describe(s, now, self._expires_in(s), self._kept(s)) for s in self._supervisors.values()]

    def loads(self, digest: str) -> int:
        """Times that the model was put into memory since the start; to start its worker again is not one."""
        return self._loads[digest]

    @property
    def waiting(self) -> int:
        """Requests that wait for busy models to leave room for theirs."""
        return self._turns.waiting

    @property
    def cache(self) -> CacheMeter:
        """What the workers' prefix caches were good for since the start."""
        return self._around.meters.cache

    def cache_held(self) -> dict[Labels, float]:
        """Bytes by tier. Every worker counts the whole disk."""
        held: dict[Labels, float] = {("kv",): 0, ("ram",): 0, ("disk",): 0}
        for supervisor in self._supervisors.values():
            for tier in supervisor.pulse.cache.tiers if supervisor.pulse else ():
                before = held[(tier.tier,)]
                held[(tier.tier,)] = max(before, tier.bytes) if tier.tier == "disk" else before + tier.bytes
        return held

    def clear_cache(self) -> None:
        """Let every worker forget the prefixes it has stored."""
        for supervisor in self._supervisors.values():
            supervisor.clear_cache()

    # When memory is short:

    def idle(self) -> list[WorkerStatus]:
        """Ready models without jobs, least recently used first."""
        ready = [worker for worker in self.status() if worker.state == "ready"]
        calm = [w for w in ready if self._supervisors[w.digest].idle_since is not None]
        return sorted(calm, key=lambda worker: -worker.idle_for)

    @property
    def caches(self) -> int:
        """Bytes that `shrink` can get."""
        return sum(supervisor.caches for supervisor in self._supervisors.values())

    def shrink(self, need: int) -> None:
        """Let caches give back `need` bytes, those of idle models first."""
        order = sorted(self._supervisors.values(), key=lambda s: (s.idle_since is None, s.idle_since))
        for supervisor in order:
            if need > 0 and (share := min(need, supervisor.caches)):
                supervisor.shrink(share)
                need -= share

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

    # Coming and going:

    async def _supervise(self, model: Model, *, patient: bool = True, deadline: float | None = None) -> Supervisor:
        """The model's supervisor; a new one when it is not loaded, as soon as busy models leave it room.

        `patient`: leave a failed model its rest. `deadline`: seconds that the caller has.
        """
        seconds = self._settings.room_wait
        seconds = seconds if deadline is None else min(seconds, deadline)
        if found := self._usable(model, patient):
            return found
        return await self._turns.take(lambda: self._place(model, patient), seconds)

    async def _place(self, model: Model, patient: bool) -> Supervisor:
        """Raises Crowded when only busy models are in the way."""
        async with self._placing:
            if found := self._usable(model, patient):
                return found
            plan = self._plan(model)
            others = [s for s in self._supervisors.values() if s.state is not WorkerState.FAILED]
            loaded = [Loaded(s.model.digest, s.memory, s.idle_since) for s in others]
            victims = make_room(loaded, plan.memory, self._settings.memory_budget, self._settings.workers)
            gone = Conflict("The model was unloaded to make room.")
            await self._retire(*(self._supervisors[digest] for digest in victims), why=gone)
            if failed := self._supervisors.get(model.digest):
                await finished(failed.life)  # its worker may still be on its way out
            if self._closing:
                raise self._shutting_down()
            self._loads[model.digest] += 1
            return self._open(model, plan)

    async def _with_adapter(self, supervisor: Supervisor, job: Job, since: float) -> Supervisor:
        """The model's supervisor, the adapter's memory counted, as soon as busy models leave it room.

        `since`: when the job came. Raises BadRequest, DoesNotFit, Busy.
        """
        adapter, model = self._resolve(job.adapter), supervisor.model
        if adapter.base != model.digest:
            raise BadRequest(f"{adapter.name} is no adapter of {model.name}", param="model")
        limit = since + min(self._settings.room_wait, float("inf") if job.deadline is None else job.deadline)
        while adapter.digest not in supervisor.adapters:
            seconds = limit - self._clock.monotonic()
            await self._turns.take(partial(self._place_adapter, adapter, supervisor), seconds)
            supervisor = await self._supervise(model, deadline=limit - self._clock.monotonic())  # it may have gone
        return supervisor

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
            others = [
                s for s in self._supervisors.values() if s is not supervisor and s.state is not WorkerState.FAILED
            ]
            try:
                loaded = [Loaded(s.model.digest, s.memory, s.idle_since) for s in others]
                budget = self._settings.memory_budget - before
                victims = make_room(loaded, supervisor.memory - before, budget, self._settings.workers)
            except MongarsError:
                del supervisor.adapters[adapter.digest]
                raise
            await self._retire(
                *(self._supervisors[victim] for victim in victims),
                why=Conflict("The model was unloaded to make room."),
            )

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

    async def _retire(self, *supervisors: Supervisor, why: MongarsError) -> None:
        """Unload; returns when the memory is free. Hold `_placing`."""
        for supervisor in supervisors:
            self._supervisors.pop(supervisor.model.digest, None)
            self._keep_alive.pop(supervisor.model.digest, None)
            supervisor.retire(why)
        if supervisors:
            await finished(*(supervisor.life for supervisor in supervisors))

    def _expires_in(self, supervisor: Supervisor) -> float | None:
        if supervisor.state is not WorkerState.READY:
            return None
        since = supervisor.idle_since
        idle_for = None if since is None else self._clock.monotonic() - since
        return expires_in(self._kept(supervisor), idle_for, used=supervisor.used)

    def _kept(self, supervisor: Supervisor) -> float:
        return self._keep_alive.get(supervisor.model.digest, self._settings.keep_alive)

    def _calm(self, supervisor: Supervisor) -> None:
        self._expire(supervisor)
        self._turns.changed()

    def _expire(self, supervisor: Supervisor) -> None:
        """Unload it in the background if its time has come."""
        if self._expires_in(supervisor) == 0:
            self._tasks.spawn(f"expire {supervisor.model.name}", self._unload_idle(supervisor))

    async def _unload_idle(self, supervisor: Supervisor) -> None:
        async with self._placing:
            digest = supervisor.model.digest
            if self._supervisors.get(digest) is supervisor and self._expires_in(supervisor) == 0:
                log.info("%s was idle and is unloaded", supervisor.model.name)
                await self._retire(supervisor, why=Conflict("The model was unloaded because it was idle."))

    def _digest(self, name: str) -> str:
        """Of a loaded model even when it is no longer installed."""
        for digest, supervisor in self._supervisors.items():
            if name in (digest, supervisor.model.name):
                return digest
        return self._resolve(name).digest

    @staticmethod
    def _shutting_down() -> Busy:
        return Busy("The node is shutting down: try again in a moment.", retry_after=CLOSING_RETRY)
