"""An engine over the fake backend, and what its answers must be."""

from __future__ import annotations

from collections import defaultdict

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.job import Delta, Event, Failed, Finished, Job, Priority, Started
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.engine.fake import END, FakeBackend, adapted, next_token
from mongarsd.inference.engine.loop import Engine, prepare
from mongarsd.inference.engine.scheduler import Scheduler
from mongarsd.inference.engine.speculation import Speculation
from mongarsd.inference.worker.protocol import Load

GREEDY = Sampling(temperature=0.0)


def load(slots: int = 4, context: int = 512, queue: int = 8, path: str = "fake", max_gap: float = 0.25) -> Load:
    return Load(
        model="sha256:" + "0" * 64,
        path=path,
        node="here",
        slots=slots,
        context=context,
        decode_threads=1,
        prefill_threads=1,
        queue=queue,
        max_gap=max_gap,
        backend="fake",
    )


def job(
    name: str,
    text: str = "hello",
    *,
    max_tokens: int | None = 20,
    sampling: Sampling = GREEDY,
    account: str = "",
    priority: Priority = Priority.INTERACTIVE,
    stop: tuple[str, ...] = (),
    deadline: float | None = None,
    produced: tuple[int, ...] = (),
    adapter: str = "",
) -> Job:
    return Job(
        id=name,
        model="sha256:" + "0" * 64,
        text=text,
        max_tokens=max_tokens,
        sampling=sampling,
        account=account,
        priority=priority,
        stop=stop,
        deadline=deadline,
        produced=produced,
        adapter=adapter,
    )


def answer(text: str, max_tokens: int, context: int = 512, adapter: str = "") -> bytes:
    """What the fake model answers at temperature 0."""
    tokens = list(text.encode())
    limit = min(len(tokens) + max_tokens, context)
    start = len(tokens)
    while len(tokens) < limit and (token := next_token(tokens, adapted(0, adapter))) != END:
        tokens.append(token)
    return bytes(tokens[start:])


class Bench:
    """Runs an engine by hand and keeps what it said, by job."""

    def __init__(
        self,
        slots: int = 4,
        context: int = 512,
        queue: int = 8,
        batch: int = 64,
        speculation: Speculation | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.backend = FakeBackend(load(slots, context, queue))
        self.scheduler = Scheduler(
            slots=slots, context=context, queue=queue, max_gap=0.25, batch=batch, speculation=speculation
        )
        self.engine = Engine(self.backend, self.scheduler, self.clock, "here")
        self.events: dict[str, list[Event]] = defaultdict(list)

    def submit(self, *jobs: Job) -> None:
        for one in jobs:
            prompt = prepare(self.backend, one)
            if isinstance(prompt, Failed):
                self.events[one.id].append(prompt)
            else:
                self.engine.submit(one, prompt)

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(0.01)
            for event in (*self.engine.admit(), *self.engine.step()):
                self.events[event.job].append(event)

    def run(self, *jobs: Job, steps: int = 2000) -> None:
        """Submit, and step until the engine is idle."""
        self.submit(*jobs)
        self.step()
        while self.engine.busy and steps:
            self.step()
            steps -= 1
        assert not self.engine.busy, "the engine does not come to an end"

    def text(self, name: str) -> str:
        return "".join(e.text for e in self.events[name] if isinstance(e, Delta))

    def tokens(self, name: str) -> tuple[int, ...]:
        return tuple(t for e in self.events[name] if isinstance(e, Delta) for t in e.tokens)

    def started(self, name: str) -> Started:
        return next(e for e in self.events[name] if isinstance(e, Started))

    def finished(self, name: str) -> Finished:
        return next(e for e in self.events[name] if isinstance(e, Finished))

    def error(self, name: str) -> str:
        return next(e.error.code for e in self.events[name] if isinstance(e, Failed))
