"""The Runner of a model that generates: the batching engine over its backend, with threads that follow the load."""

from __future__ import annotations

from collections.abc import Callable

from mongarsd.ground.clock import Clock, SystemClock
from mongarsd.ground.job import Event, Failed, Finished, Job
from mongarsd.inference.engine.base import Backend, Prompt
from mongarsd.inference.engine.loop import Engine, prepare
from mongarsd.inference.engine.scheduler import Scheduler
from mongarsd.inference.engine.speculation import Speculation
from mongarsd.inference.engine.tiers import open_tiers
from mongarsd.inference.engine.uncut import UncutCells
from mongarsd.inference.worker.backends import open_backend
from mongarsd.inference.worker.board import Following
from mongarsd.inference.worker.protocol import Load, ModelInfo, Pulse

#: Tokens a step may carry, all sequences together: llama.cpp's own default for a logical batch.
BATCH = 2048


class Generator:
    def __init__(self, backend: Backend, engine: Engine, threads: Following, clock: Clock) -> None:
        self._backend, self._engine, self._threads, self._clock = backend, engine, threads, clock
        self.submit, self.cancel, self.admit = engine.submit, engine.cancel, engine.admit
        self.idle, self.close = engine.idle, engine.close
        self.shrink, self.clear_cache = engine.shrink, engine.clear_cache

    @property
    def info(self) -> ModelInfo:
        return self._backend.info

    @property
    def busy(self) -> bool:
        return self._engine.busy

    def prepare(self, job: Job) -> Prompt | Failed | Finished:
        return prepare(self._backend, job)

    def step(self) -> tuple[Event, ...]:
        events = self._engine.step()
        self._threads.look(self._clock.monotonic())
        return events

    def pulse(self) -> Pulse:
        return self._threads.tell(self._engine.pulse())


def open_generator(load: Load, wake: Callable[[], None]) -> Generator:
    """Load the model. Raises InvalidModel, DoesNotFit, StartError."""
    return generator(open_backend(load), load, wake, SystemClock())


def generator(backend: Backend, load: Load, wake: Callable[[], None], clock: Clock) -> Generator:
    scheduler = Scheduler(
        slots=backend.info.slots,
        context=backend.info.context,
        queue=load.queue,
        max_gap=load.max_gap,
        batch=BATCH,
        speculation=Speculation() if load.speculation and backend.info.cuts and backend.info.drafts else None,
        cells=UncutCells(backend.info.slots, cuts=backend.info.cuts) if backend.checkpoints else None,
    )
    tiers = open_tiers(backend, scheduler.cells, load, wake, clock)
    engine = Engine(backend, scheduler, clock, load.node, tiers)
    return Generator(backend, engine, Following(backend, load, clock.monotonic()), clock)
