"""The life of one loaded model: starts its worker, watches it, starts the next when it dies, and loses no job."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Sequence

from msgspec import Struct

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import Busy, Conflict, MongarsError, TooLarge, from_info
from mongarsd.ground.frames import FrameError
from mongarsd.ground.job import Job
from mongarsd.ground.tasks import Tasks
from mongarsd.inference.pool.estimate import Situation, load_seconds
from mongarsd.inference.pool.jobs import Jobs
from mongarsd.inference.pool.meters import Meters
from mongarsd.inference.pool.oom import OomWatch
from mongarsd.inference.pool.plan import Model, PoolSettings, WorkerPlan
from mongarsd.inference.pool.process import WorkerProcess
from mongarsd.inference.pool.restarts import Restarts
from mongarsd.inference.pool.silence import Silence
from mongarsd.inference.pool.stream import JobStream
from mongarsd.inference.worker.protocol import (
    Cancel,
    ClearCache,
    FromWorker,
    Load,
    ModelInfo,
    Output,
    Pulse,
    Ready,
    Refused,
    Shrink,
    Stop,
    Submit,
)

log = logging.getLogger(__name__)

#: Seconds a worker gets to free its memory and exit.
STOP_GRACE = 3.0
#: Bytes that may wait for a worker which does not read; four of the biggest prompts.
MAX_BACKLOG = 4 * 8 * 1024 * 1024


class WorkerState(enum.Enum):
    LOADING = "loading"  # the first process starts and reads the weights; jobs wait in the pool
    READY = "ready"  # jobs go to the worker
    RESTARTING = "restarting"  # it crashed; the next process starts; jobs wait in the pool
    FAILED = "failed"  # the worker refused the model or crashed too often; `error` says why
    STOPPED = "stopped"  # unloaded; it will not live again


_WAITING = (WorkerState.LOADING, WorkerState.RESTARTING)
_OVER = (WorkerState.FAILED, WorkerState.STOPPED)


class Surroundings(Struct, frozen=True, kw_only=True):
    """What all supervisors of a pool share."""

    node: str
    settings: PoolSettings
    clock: Clock
    meters: Meters
    command: Sequence[str]
    interval: float  # seconds between two ticks
    oom_kills: Callable[[], int] = lambda: 0  # processes that the kernel has killed to get memory
    lessen: Callable[[Model, WorkerPlan], WorkerPlan | None] = lambda _model, _plan: None  # the next smaller plan


class Supervisor:
    """`start` once, `tick` every interval, `retire` once; `life` ends when nothing of it is left in memory."""

    def __init__(
        self, model: Model, plan: WorkerPlan, around: Surroundings, *, on_idle: Callable[[Supervisor], None]
    ) -> None:
        self.model = model
        self.plan = plan
        self.state = WorkerState.LOADING
        self.error: MongarsError | None = None
        self.failed_at = 0.0
        self.info: ModelInfo | None = None
        self.pulse: Pulse | None = None
        self.used = False
        self.adapters: dict[str, int] = {}  # bytes of those it was asked for, by digest
        self.restarts = Restarts()
        self._around = around
        self._clock = around.clock
        self.jobs = Jobs(around.clock, around.meters, lambda: on_idle(self))
        self._worker: WorkerProcess | None = None
        self._silence = Silence(self._clock.monotonic(), around.interval)
        self._spawned_at = 0.0
        self._fruitful = False  # the present worker has delivered a token
        self._hung = ""
        self._oom = OomWatch(around.oom_kills)
        self.reduced = ""  # why it has less than planned
        self._settled = asyncio.Event()  # neither loading nor restarting
        self._retired = asyncio.Event()

    # Jobs:

    def submit(self, job: Job, since: float) -> JobStream:
        """Take a job that came at `since`, now or as soon as the worker is ready. Raises Busy, Conflict, TooLarge."""
        self._check_room()
        stream = self.jobs.add(job, since)
        if self.state is WorkerState.READY:
            try:
                self._send(stream)
            except TooLarge:
                self.jobs.forget(stream)
                raise
        self.used = True
        return stream

    @property
    def memory(self) -> int:
        """Bytes: what was planned, and its adapters, of which the worker holds so many at most."""
        return self.plan.memory + min(sum(self.adapters.values()), self.plan.adapters.bytes)

    def shrink(self, size: int) -> None:
        """Memory is short: let the worker's caches give back that many bytes."""
        if self._worker is not None and self.state is WorkerState.READY:
            self._worker.send(Shrink(size))

    @property
    def caches(self) -> int:
        """Bytes that `shrink` can get."""
        tiers = self.pulse.cache.tiers if self.pulse is not None else ()
        return sum(tier.bytes for tier in tiers if tier.tier == "ram")

    def _check_room(self) -> None:
        """A ready worker bounds its queue itself; the rest is for one that is not there, or does not listen."""
        jobs, room = len(self.jobs), self.plan.slots + self._around.settings.queue
        if self.state in _WAITING and jobs >= room:
            wait = self.situation().wait
            raise Busy(
                f"The model {self.model.name} is being loaded, {jobs} requests wait for it: try again.",
                retry_after=max(1, round(wait)),
                position=jobs,
                estimate=wait,
            )
        if jobs >= 2 * room or (self._worker is not None and self._worker.backlog > MAX_BACKLOG):
            raise Busy(f"The worker of {self.model.name} is behind with its requests: try again.", retry_after=1)

    def release(self, stream: JobStream) -> None:
        """The reader has gone: cancel what is not finished."""
        unfinished = not stream.ended
        stream.abandon()
        if unfinished:
            if self._worker is not None and self.state is WorkerState.READY:
                self._worker.send(Cancel(stream.job.id))
            self.jobs.forget(stream)

    def clear_cache(self) -> None:
        """A worker that is not ready yet finds nothing on the disk."""
        if self._worker is not None and self.state is WorkerState.READY:
            self._worker.send(ClearCache())

    def _send(self, stream: JobStream) -> None:
        if self._worker is None:
            return
        try:
            self._worker.send(Submit(stream.hand_over(self._clock.monotonic())))
        except FrameError as error:
            raise TooLarge(f"The request is too large for the worker: {error}.") from error

    # What the pool asks:

    @property
    def pid(self) -> int | None:
        return self._worker.pid if self._worker is not None else None

    @property
    def idle_since(self) -> float | None:
        """None while it is busy: has jobs, or is being loaded for somebody."""
        return None if self.jobs or self.state in _WAITING else self.jobs.idle_since

    def situation(self) -> Situation:
        wait = 0.0
        if self.state in _WAITING:
            wait = max(0.5, load_seconds(self.model.size) - (self._clock.monotonic() - self._spawned_at))
        pulse = self.pulse if self.state is WorkerState.READY else None
        return Situation(size=self.model.size, slots=self.plan.slots, jobs=len(self.jobs), wait=wait, pulse=pulse)

    async def ready(self) -> None:
        """Return when jobs can run. Raises what made the load fail."""
        while self.state in _WAITING:
            await self._settled.wait()
        if self.error is not None:
            raise self.error
        if self.state is WorkerState.STOPPED:
            raise Conflict(f"The model {self.model.name} was unloaded while it was being loaded.")

    # Its life:

    def start(self, tasks: Tasks) -> None:
        self.life = tasks.spawn(f"life of {self.model.name}", self._live())

    def retire(self, why: MongarsError) -> None:
        """Begin to unload; its jobs fail with `why`. Await `life` for the end."""
        if self.state is WorkerState.STOPPED:
            return
        grace = STOP_GRACE if self.state is WorkerState.READY else 0.0  # while it loads it does not listen
        self._enter(WorkerState.STOPPED)
        self._retired.set()
        self.jobs.fail_all(why)
        self._end_worker(grace)

    def tick(self, now: float) -> None:
        """Look for a hung worker, and for jobs whose time ran out while no worker had them."""
        self._oom.look()
        if self.state in _WAITING:
            self.jobs.expire()
        if self._worker is None or self.state in _OVER:
            return
        settings = self._around.settings
        limit = settings.hang_timeout if self.state is WorkerState.READY else settings.load_timeout
        silent = self._silence.check(now)
        if silent > limit:
            self._hung = f"gave no sign of life for {silent:.0f} s and was killed"
            self._worker.kill()

    async def _live(self) -> None:
        while True:
            how = await self._run_worker()
            if self.state in _OVER:
                break
            delay = self._recover(how)
            if delay is None:
                break
            try:
                async with asyncio.timeout(delay):
                    await self._retired.wait()
                break
            except TimeoutError:
                continue

    async def _run_worker(self) -> str:
        """One worker from spawn to end; says how it ended."""
        self._fruitful = False
        self._hung = ""
        self.pulse = None
        self._spawned_at = now = self._clock.monotonic()
        self._silence = Silence(now, self._around.interval)
        try:
            worker = await WorkerProcess.spawn(self._around.command, self._receive)
        except OSError as error:
            return f"could not be started ({error})"
        self._worker = worker
        try:
            if self.state in _OVER:
                worker.kill()
            else:
                worker.send(self._load())
            how = await worker.ended
        finally:
            worker.kill()
            self._worker = None
        if worker.tail and self.state is not WorkerState.STOPPED:
            log.warning("last words of the worker of %s:\n%s", self.model.name, "\n".join(worker.tail))
        return self._hung or how

    def _recover(self, how: str) -> float | None:
        """After a crash: seconds until the next worker; None = the model has failed."""
        lived = self._clock.monotonic() - self._spawned_at
        lessened = self._oom.killed(how) and self._lessen()
        fruitful = self._fruitful or lessened
        delay = self.restarts.crashed(lived, fruitful=fruitful, proven=self.info is not None)
        log.error("the worker of %s %s; %d jobs were in its hands", self.model.name, how, len(self.jobs))
        self.jobs.blame(how, guilty=not lessened)
        if delay is None:
            rest = self._around.settings.cool_down
            count = self.restarts.fruitless
            self._fail(
                Busy(
                    f"The worker of {self.model.name} crashed {count} times in a row; the last one {how}. "
                    f"The model rests for {rest:.0f} s. See the log for the reason.",
                    retry_after=max(1, round(rest)),
                )
            )
            return None
        self._around.meters.restarts.add(self.model.name)
        self._enter(WorkerState.RESTARTING)
        return delay

    def _lessen(self) -> bool:
        """The kernel killed the worker for want of memory: the next one gets less. False if there is no less."""
        before, less = self.plan, self._around.lessen(self.model, self.plan)
        if less is None:
            log.error("out of memory: the kernel killed the worker of %s, which has the least already", self.model.name)
            return False
        self.plan = less
        self.reduced = (
            f"the kernel killed its worker for want of memory: {less.slots} slots of {less.context} tokens now, "
            f"{before.slots} of {before.context} before"
        )
        log.warning("%s: %s", self.model.name, self.reduced)
        return True

    # What the worker says:

    def _receive(self, message: FromWorker) -> None:
        if self.state in _OVER:
            return
        self._silence.heard()
        if isinstance(message, Output):
            self._fruitful |= self.jobs.push(message.events)
        elif isinstance(message, Pulse):
            self._around.meters.cache.observe(self.pulse, message)
            self.pulse = message
        elif isinstance(message, Ready):
            self._ready(message)
        else:
            self._refused(message)

    def _ready(self, message: Ready) -> None:
        now = self._clock.monotonic()
        self.info = message.info
        self._around.meters.loads.observe(now - self._spawned_at)
        log.info("%s is ready after %.1f s (pid %s)", self.model.name, now - self._spawned_at, self.pid)
        self.jobs.idle_since = now
        self._enter(WorkerState.READY)
        for stream in self.jobs.to_hand_over():
            try:
                self._send(stream)
            except TooLarge as error:
                self.jobs.fail(stream, error)

    def _refused(self, message: Refused) -> None:
        self._fail(from_info(message.error))
        self._end_worker(STOP_GRACE)

    def _fail(self, error: MongarsError) -> None:
        log.error("the model %s cannot be used: %s", self.model.name, error)
        self.error = error
        self.failed_at = self._clock.monotonic()
        self._enter(WorkerState.FAILED)
        self.jobs.fail_all(error)

    def _end_worker(self, grace: float) -> None:
        if self._worker is not None:
            self._worker.send(Stop())
            self._worker.kill_after(grace)

    def _enter(self, state: WorkerState) -> None:
        self.state = state
        if state in _WAITING:
            self._settled.clear()
        else:
            self._settled.set()

    def _load(self) -> Load:
        plan, settings = self.plan, self._around.settings
        return Load(
            model=self.model.digest,
            path=str(self.model.path),
            node=self._around.node,
            slots=plan.slots,
            context=plan.context,
            decode_threads=plan.decode_threads,
            prefill_threads=plan.prefill_threads,
            queue=max(settings.queue, len(self.jobs)),  # whom the last worker had, the next one takes
            max_gap=settings.max_gap,
            speculation=settings.speculation,
            gpu_layers=plan.gpu_layers,
            live_threads=settings.live_threads,
            files=plan.files,
            cache=plan.cache,
            adapters=plan.adapters,
            kind=plan.kind,
            backend=plan.backend or settings.backend,
        )
