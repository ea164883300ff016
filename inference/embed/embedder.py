"""The step loop of a worker that embeds or ranks: jobs in, one run of the model a step, events out."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Protocol

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import BadRequest, Busy, DeadlineExceeded, MongarsError
from mongarsd.ground.job import Embedded, Event, Failed, Finished, FinishReason, Job, Ranked, Started, Timings, Usage
from mongarsd.inference.embed.batches import RUN, RUN_LEAST, Queue, Tokens, Work
from mongarsd.inference.worker.protocol import Load, ModelInfo, Pulse

#: Tokens of all jobs together: 16 MB. One request of 2,048 long texts has half a million.
MAX_TOKENS = 4_000_000
#: Seconds a run should take at most: so long waits who comes next, and so long the worker is silent.
RUN_SECONDS = 1.0
ENDPOINTS = {"embedding": "/v1/embeddings", "rerank": "/v1/rerank", "chat": "/v1/chat/completions"}
#: The weight of the newest run in the measured rate.
FRESH = 0.2


class Vectors(Protocol):
    """A model, in whatever library."""

    def vectors(self, texts: Sequence[Tokens]) -> list[bytes]:
        """A float32 vector of length 1 for each text, or a score (0 to 1) for each pair. Raises MongarsError."""
        ...


class Tokenizer(Protocol):
    def __call__(self, texts: Sequence[str], *, whole: bool = False) -> list[Tokens]:
        """Each text's tokens with the special ones, cut at the model's context. Raises ContextOverflow if they should
        be `whole` and are not."""
        ...

    def pairs(self, query: str, documents: Sequence[str]) -> list[Tokens]:
        """The same for the query with each document; only documents are cut. Raises BadRequest for a long query."""
        ...


class Threads(Protocol):
    """`board.Following`"""

    def look(self, now: float) -> None: ...

    def tell(self, pulse: Pulse) -> Pulse: ...


class Embedder:
    """A Runner. `admit`, then `step`, return the events of one run of the model; idle when `busy` is false."""

    def __init__(
        self,
        info: ModelInfo,
        tokenize: Tokenizer,
        model: Vectors,
        clock: Clock,
        load: Load,
        *,
        run: int = RUN,
        threads: Threads | None = None,
    ) -> None:
        """`run`: tokens that are computed together at most, unless one text has more."""
        self.info = info
        self._tokenize = tokenize
        self._model = model
        self._clock = clock
        self._kind = load.kind
        self._node = load.node
        self._largest = run
        self._threads = threads
        self._most = load.queue + load.slots
        self._queue = Queue()
        self._run: list[tuple[Work, int]] = []  # what the next step computes
        self._events: list[Event] = []
        self._rate = 0.0  # tokens a second
        self._step = 0.0  # seconds

    @property
    def busy(self) -> bool:
        return len(self._queue) > 0 or bool(self._events)

    def prepare(self, job: Job) -> list[Tokens] | Failed:
        """May run in another thread than `step`."""
        try:
            if self._kind == "rerank" and job.rerank:
                return self._tokenize.pairs(job.rerank.query, job.rerank.documents)
            if self._kind == "embedding" and job.embed:
                return self._tokenize(job.embed, whole=job.whole)
            raise BadRequest(f"this model is for {ENDPOINTS[self._kind]} alone", param="model")
        except MongarsError as error:
            return Failed(job.id, error.info())

    def submit(self, job: Job, texts: list[Tokens]) -> None:
        """Queue the job, or answer with Failed."""
        work = Work(job, texts, self._clock.monotonic(), self.info.dimensions or 1)
        backlog = self._queue.backlog
        if len(self._queue) >= self._most or (backlog and backlog + work.size > MAX_TOKENS):
            seconds = backlog / self._rate if self._rate else 1.0
            error = Busy(
                f"{len(self._queue)} jobs are waiting already: try again in about {seconds:.0f} s",
                retry_after=max(1.0, seconds / 2),
                position=len(self._queue),
                estimate=seconds,
            )
            self._events.append(Failed(job.id, error.info()))
        else:
            self._queue.push(work)

    def cancel(self, job: str) -> None:
        """An unknown job has ended already."""
        if work := self._queue.pop(job):
            self._end(work, FinishReason.CANCELLED)

    def admit(self) -> tuple[Event, ...]:
        """Choose the next run; whose job is in it for the first time is told that it has started."""
        self._expire()
        self._run = self._queue.run(max(RUN_LEAST, min(self._largest, int(self._rate * RUN_SECONDS))))
        now = self._clock.monotonic()
        for work in dict.fromkeys(work for work, _ in self._run):
            if work.started is None:
                work.started = now
                self._events.append(Started(work.job.id, self._node, now - work.arrived, work.size))
        return self._told()

    def step(self) -> tuple[Event, ...]:
        """One run of the model."""
        if self._run:
            self._compute(self._run)
            self._run = []
        if self._threads:
            self._threads.look(self._clock.monotonic())
        return self._told()

    def idle(self) -> bool:
        return False

    def shrink(self, size: int) -> None:
        """Nothing is cached."""

    def clear_cache(self) -> None: ...

    def close(self) -> None: ...

    def _told(self) -> tuple[Event, ...]:
        events, self._events = tuple(self._events), []
        return events

    def pulse(self) -> Pulse:
        jobs = len(self._queue)
        pulse = Pulse(
            busy_slots=min(jobs, self.info.slots),
            queued=max(0, jobs - self.info.slots),
            backlog_prefill=self._queue.backlog,
            backlog_decode=0,
            prefill_rate=self._rate,
            decode_rate=0.0,
            step=self._step,
            cached_tokens=0,
        )
        return self._threads.tell(pulse) if self._threads else pulse

    def _compute(self, run: list[tuple[Work, int]]) -> None:
        begin = self._clock.monotonic()
        try:
            vectors = self._model.vectors([work.texts[index] for work, index in run])
        except MongarsError as error:
            self._fail(run, error)
            return
        except Exception as error:  # of onnxruntime, which has no common class: a token the model does not know
            self._fail(run, MongarsError(f"the model could not compute this: {str(error)[:300]}"))
            return
        took = self._clock.monotonic() - begin
        self._measure(sum(len(work.texts[index]) for work, index in run), took)
        for (work, index), vector in zip(run, vectors, strict=True):
            work.put(index, vector)
            if work.done:
                self._queue.pop(work.job.id)
                self._events.append(self._answer(work))
                self._end(work, FinishReason.STOP)

    def _answer(self, work: Work) -> Event:
        if self._kind == "rerank":
            return Ranked(work.job.id, tuple(array("f", work.vectors)))
        return Embedded(work.job.id, bytes(work.vectors), self.info.dimensions)

    def _measure(self, tokens: int, took: float) -> None:
        rate = tokens / max(took, 1e-6)
        self._rate += (rate - self._rate) * (FRESH if self._rate else 1.0)
        self._step += (took - self._step) * (FRESH if self._step else 1.0)

    def _expire(self) -> None:
        now = self._clock.monotonic()
        for work in self._queue.works():
            if work.expires <= now:
                self._queue.pop(work.job.id)
                if work.started is None:
                    error = DeadlineExceeded("the job's time was up before its turn came: allow more")
                    self._events.append(Failed(work.job.id, error.info()))
                else:
                    self._end(work, FinishReason.DEADLINE)

    def _fail(self, run: list[tuple[Work, int]], error: MongarsError) -> None:
        for work in dict.fromkeys(work for work, _ in run):
            self._queue.pop(work.job.id)
            self._events.append(Failed(work.job.id, error.info()))

    def _end(self, work: Work, reason: FinishReason) -> None:
        now = self._clock.monotonic()
        started = now if work.started is None else work.started
        timings = Timings(queue=started - work.arrived, prefill=now - started)
        self._events.append(Finished(work.job.id, reason, Usage(work.size, 0), timings))
