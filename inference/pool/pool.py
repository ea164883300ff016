"""The local Executor: runs jobs on the models in memory, loads them on demand, and says what they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from msgspec import structs

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import BadRequest, MongarsError, from_info
from mongarsd.ground.executor import Estimate
from mongarsd.ground.job import Event, Failed, Job
from mongarsd.ground.metrics import Labels, Metrics
from mongarsd.ground.tasks import OnDeath, Tasks
from mongarsd.inference.pool.cachemeter import CacheMeter
from mongarsd.inference.pool.estimate import Situation, estimate, load_seconds
from mongarsd.inference.pool.meters import Meters
from mongarsd.inference.pool.plan import Model, PoolSettings, WorkerPlan
from mongarsd.inference.pool.process import COMMAND
from mongarsd.inference.pool.residents import Residents
from mongarsd.inference.pool.status import WorkerStatus, describe, watch
from mongarsd.inference.pool.supervisor import Surroundings, WorkerState


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
        self._clock = clock
        self._meters = Meters(metrics)
        self._interval = min(1.0, settings.hang_timeout / 4)
        around = Surroundings(
            node=node,
            settings=settings,
            clock=clock,
            meters=self._meters,
            command=tuple(command),
            interval=self._interval,
            oom_kills=oom_kills,
            lessen=lessen,
        )
        self._tasks = Tasks("pool", on_death)
        self._residents = Residents(plan, around, self._tasks)
        watch(self._meters, self.status)
        self._meters.crowded.source = lambda: {(): float(self.waiting)}
        self.cache.bytes.source = self.cache_held

    # Life:

    async def start(self) -> None:
        self._tasks.spawn("watch", self._watch())

    async def close(self) -> None:
        """End all jobs (with Busy: the client may come again) and workers. Idempotent."""
        await self._residents.close()
        await self._tasks.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            self.tick()

    def tick(self) -> None:
        """Look after hung workers, late jobs and idle models. Called every interval by `start`'s task."""
        self._residents.tick()

    # Jobs:

    async def run(self, job: Job) -> AsyncGenerator[Event, None]:
        """Executor.run: loads the model if need be; crashes of the worker are a pause and a second Started."""
        since = self._clock.monotonic()
        try:
            model = self._resolve(job.model)
            adapter = self._resolve(job.adapter) if job.adapter else None
            if adapter and adapter.base != model.digest:
                raise BadRequest(f"{adapter.name} is no adapter of {model.name}", param="model")
            supervisor = await self._residents.take(model, adapter, seconds=job.deadline)
            job = job if job.model == model.digest else structs.replace(job, model=model.digest)
            stream = supervisor.submit(job, since)
        except MongarsError:
            self._meters.jobs.add("refused")
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
        supervisor = self._residents.find(model.digest)
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
            self._residents.keep(model.digest, keep_alive)
        supervisor = await self._residents.take(model, patient=False)
        await supervisor.ready()

    def set_keep_alive(self, name: str, keep_alive: float) -> None:
        """Override the default for the present load of the model, or its next."""
        self._residents.keep(self._resolve(name).digest, keep_alive)

    def set_default_keep_alive(self, keep_alive: float) -> None:
        """For every model that was not given its own; counts from the next tick."""
        self._residents.keep_alive = keep_alive

    async def unload(self, name: str) -> bool:
        """Free the model's memory; False if it was not loaded. Raises Conflict when it has jobs."""
        return await self._residents.unload(self._digest(name))

    def status(self) -> list[WorkerStatus]:
        """Facts of every model in memory, and of those that failed."""
        now, models = self._clock.monotonic(), self._residents
        return [describe(one, now, models.expires_in(one), models.kept(one)) for one in models]

    def loads(self, digest: str) -> int:
        """Times that the model was put into memory since the start; to start its worker again is not one."""
        return self._residents.loads[digest]

    @property
    def waiting(self) -> int:
        """Requests that wait for busy models to leave room for theirs."""
        return self._residents.waiting

    @property
    def cache(self) -> CacheMeter:
        """What the workers' prefix caches were good for since the start."""
        return self._meters.cache

    def cache_held(self) -> dict[Labels, float]:
        """Bytes by tier. Every worker counts the whole disk."""
        held: dict[Labels, float] = {("kv",): 0, ("ram",): 0, ("disk",): 0}
        for supervisor in self._residents:
            for tier in supervisor.pulse.cache.tiers if supervisor.pulse else ():
                before = held[(tier.tier,)]
                held[(tier.tier,)] = max(before, tier.bytes) if tier.tier == "disk" else before + tier.bytes
        return held

    def clear_cache(self) -> None:
        """Let every worker forget the prefixes it has stored."""
        for supervisor in self._residents:
            supervisor.clear_cache()

    def _digest(self, name: str) -> str:
        """Of a loaded model even when it is no longer installed."""
        loaded = (one.model.digest for one in self._residents if name in (one.model.digest, one.model.name))
        return next(loaded, "") or self._resolve(name).digest

    # When memory is short:

    def idle(self) -> list[WorkerStatus]:
        """Ready models without jobs, least recently used first."""
        busy = {one.model.digest for one in self._residents if one.idle_since is None}
        calm = [worker for worker in self.status() if worker.state == "ready" and worker.digest not in busy]
        return sorted(calm, key=lambda worker: -worker.idle_for)

    @property
    def caches(self) -> int:
        """Bytes that `shrink` can get."""
        return sum(supervisor.caches for supervisor in self._residents)

    def shrink(self, need: int) -> None:
        """Let caches give back `need` bytes, those of idle models first."""
        order = sorted(self._residents, key=lambda s: (s.idle_since is None, s.idle_since))
        for supervisor in order:
            if need > 0 and (share := min(need, supervisor.caches)):
                supervisor.shrink(share)
                need -= share

    async def reload(self, digest: str, why: str) -> bool:
        """Start a model's worker again with the plan of now; False if it is not idle. `why` it has less than before."""
        return await self._residents.reload(digest, why)
