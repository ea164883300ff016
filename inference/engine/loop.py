"""The step loop: takes jobs, drives scheduler and backend, turns sampled tokens into events."""

from __future__ import annotations

from dataclasses import dataclass

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import DeadlineExceeded, MongarsError
from mongarsd.ground.job import Delta, Event, Failed, Finished, FinishReason, Job, Started, Timings, Usage
from mongarsd.inference.engine.base import Backend, NoRoom, Prompt, Sampled, Sampler
from mongarsd.inference.engine.scheduler import Admission, Scheduler, Step
from mongarsd.inference.engine.sequence import Sequence
from mongarsd.inference.text.stream import Released, TextStream
from mongarsd.inference.worker.protocol import Pulse


@dataclass
class Live:
    """What a running sequence has beside its tokens."""

    sampler: Sampler
    text: TextStream


class Engine:
    """Not thread-safe. `step()` returns the events of one step; it is idle when `busy` is false."""

    def __init__(self, backend: Backend, scheduler: Scheduler, clock: Clock, node: str) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self._clock = clock
        self._node = node
        self._live: dict[str, Live] = {}
        self._events: list[Event] = []

    @property
    def busy(self) -> bool:
        return bool(self._scheduler.running) or len(self._scheduler.waiting) > 0

    def submit(self, job: Job, prompt: Prompt) -> None:
        """Queue the job, or answer with Failed."""
        context = self._backend.info.context
        size = len(prompt.tokens)
        limit = context if job.max_tokens is None else min(context, size + job.max_tokens)
        sequence = Sequence(
            job=job,
            tokens=[*prompt.tokens, *job.produced],
            prompt=size,
            limit=limit,
            arrived=self._clock.monotonic(),
            thinking=prompt.thinking,
        )
        try:
            self._scheduler.check(size)
            self._scheduler.submit(sequence)
        except MongarsError as error:
            self._events.append(Failed(job.id, error.info()))

    def cancel(self, job: str) -> None:
        """Free what the job occupies, at once. An unknown job has ended already."""
        if sequence := self._scheduler.find(job):
            self._end(sequence, FinishReason.CANCELLED)

    def step(self) -> tuple[Event, ...]:
        """Admit, compute, sample. Raises only what no single job is to blame for: then the worker must die."""
        self._expire()
        for admission in self._scheduler.admit(self._clock.monotonic()):
            self._start(admission)
        step = self._scheduler.plan()
        if step.batches:
            self._compute(step)
        events, self._events = tuple(self._events), []
        return events

    def pulse(self) -> Pulse:
        scheduler = self._scheduler
        prefill, decode = scheduler.backlog()
        return Pulse(
            busy_slots=len(scheduler.running),
            queued=len(scheduler.waiting),
            backlog_prefill=prefill,
            backlog_decode=decode,
            prefill_rate=scheduler.pacer.prefill_rate,
            decode_rate=scheduler.decode_rate,
            step=scheduler.step,
            cached_tokens=scheduler.cells.held,
        )

    def _expire(self) -> None:
        for sequence in self._scheduler.expired(self._clock.monotonic()):
            if sequence.id in self._live:
                self._end(sequence, FinishReason.DEADLINE)
            else:
                error = DeadlineExceeded("the job's time was up before its turn came: allow more")
                self._fail(sequence, error)

    def _start(self, admission: Admission) -> None:
        sequence, (slot, cached, source) = admission
        job = sequence.job
        if source is not None:
            self._backend.trim(slot, 0)
            self._backend.copy(source, slot)
        if not self._backend.trim(slot, cached):
            self._backend.trim(slot, 0)
            self._scheduler.uncached(sequence)
        if job.id in self._live:  # it had yielded its slot, and goes on
            return
        try:
            sampler = self._backend.sampler(job, sequence.tokens[: sequence.prompt])
        except MongarsError as error:
            self._fail(sequence, error)
            return
        thinks = job.messages is not None and (self._backend.info.thinks or sequence.thinking)
        text = TextStream(job.stop, thinks=thinks, thinking=sequence.thinking)
        text.replay(job.produced, self._backend.pieces(job.produced))
        self._live[job.id] = Live(sampler, text)
        self._events.append(
            Started(
                job=job.id,
                node=self._node,
                queue=sequence.admitted - sequence.arrived,
                prompt=sequence.prompt,
                cached=min(sequence.cached, sequence.prompt),
            )
        )
        if text.stop is not None:  # its last words before a restart held the stop string
            self._end(sequence, FinishReason.STOP)
        elif sequence.full:  # nothing may be produced (any more): max_tokens is 0, or was reached before a restart
            self._end(sequence, FinishReason.LENGTH)

    def _compute(self, step: Step) -> None:
        begin = self._clock.monotonic()
        for batch in step.batches:
            try:
                self._backend.decode(batch.rows)
            except NoRoom as error:  # each slot has cells of its own for its whole context: this cannot happen
                raise RuntimeError("the KV cache has less room than its slots promise") from error
            sampled = [
                (sequence, self._live[sequence.id].sampler.sample(index))
                for index, (row, sequence) in enumerate(zip(batch.rows, batch.owners, strict=True))
                if row.wants_logits
            ]
            self._scheduler.computed(batch)
            now = self._clock.monotonic()
            for sequence, choice in sampled:
                if sequence.first_token is None:
                    sequence.first_token = now
                self._take(sequence, choice)
        self._scheduler.commit(step, self._clock.monotonic() - begin)

    def _take(self, sequence: Sequence, choice: Sampled) -> None:
        if self._backend.is_end(choice.token):
            self._end(sequence, FinishReason.STOP)
            return
        sequence.tokens.append(choice.token)
        (piece,) = self._backend.pieces((choice.token,))
        released = self._live[sequence.id].text.push(choice.token, piece, choice.logprob)
        if released and released.stop is not None:
            self._end(sequence, FinishReason.STOP, released)
        elif sequence.full:
            self._end(sequence, FinishReason.LENGTH, released)
        elif released:
            self._emit(sequence, released)

    def _emit(self, sequence: Sequence, released: Released) -> None:
        self._events.append(
            Delta(
                job=sequence.id,
                tokens=tuple(released.tokens),
                text=released.text,
                reasoning=released.reasoning,
                logprobs=tuple(released.logprobs),
            )
        )

    def _end(self, sequence: Sequence, reason: FinishReason, released: Released | None = None) -> None:
        now = self._clock.monotonic()
        stop: str | None = None
        if live := self._live.pop(sequence.id, None):
            live.sampler.close()
            if released:
                self._emit(sequence, released)
            if rest := live.text.finish():  # nothing, when a stop string matched already
                self._emit(sequence, rest)
            stop = live.text.stop
        first = sequence.first_token or now
        started = sequence.admitted if live else now
        self._scheduler.finish(sequence, now)
        self._events.append(
            Finished(
                job=sequence.id,
                reason=reason if stop is None else FinishReason.STOP,
                usage=Usage(sequence.prompt, sequence.completion, min(sequence.cached, sequence.prompt)),
                timings=Timings(queue=started - sequence.arrived, prefill=first - started, decode=now - first),
                stop=stop,
            )
        )

    def _fail(self, sequence: Sequence, error: MongarsError) -> None:
        self._scheduler.finish(sequence, self._clock.monotonic())
        self._events.append(Failed(sequence.id, error.info()))


def prepare(backend: Backend, job: Job) -> Prompt | Failed:
    """The job's prompt, or why there is none. May run in another thread than `step`."""
    try:
        return backend.prompt(job)
    except MongarsError as error:
        return Failed(job.id, error.info())
