"""The step loop: takes jobs, drives scheduler and backend, turns sampled tokens into events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import BadRequest, DeadlineExceeded, MongarsError
from mongarsd.ground.job import Delta, Event, Failed, Finished, FinishReason, Job, Started, Timings, ToolCall, Usage
from mongarsd.inference.engine.base import BLOCK, Backend, NoRoom, Prompt, Row, Sampled, Sampler
from mongarsd.inference.engine.calls import Calls
from mongarsd.inference.engine.scheduler import Admission, Scheduler, Step
from mongarsd.inference.engine.sequence import Sequence
from mongarsd.inference.engine.tiers import Tiers
from mongarsd.inference.text.stream import Released, TextStream
from mongarsd.inference.worker.protocol import CacheStats, Pulse


@dataclass
class Live:
    """What a running sequence has beside its tokens."""

    sampler: Sampler
    text: TextStream
    calls: Calls
    marks: Mapping[int, bytes]
    adapter: str

    def piece(self, token: int, piece: bytes) -> bytes:
        return piece or self.marks.get(token, b"")


class Engine:
    """Not thread-safe. `step()` returns the events of one step; it is idle when `busy` is false."""

    def __init__(
        self, backend: Backend, scheduler: Scheduler, clock: Clock, node: str, tiers: Tiers | None = None
    ) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self._clock = clock
        self._node = node
        self._tiers = tiers
        self._live: dict[str, Live] = {}
        self._events: list[Event] = []

    @property
    def busy(self) -> bool:
        """Is there something to compute? A job whose prefix is being read wakes the engine when it is there."""
        return bool(self._scheduler.running) or not all(s.fetching for s in self._scheduler.waiting)

    def idle(self) -> bool:
        """Something useful for a moment in which nothing runs; true if there is more of it."""
        return self._tiers.idle() if self._tiers else False

    def shrink(self, size: int) -> None:
        """Give back about `size` bytes of caches."""
        if self._tiers:
            self._tiers.shrink(size)

    def clear_cache(self) -> None:
        if self._tiers:
            self._tiers.clear()

    def close(self) -> None:
        """Save what is worth it."""
        if self._tiers:
            self._tiers.close()

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
            form=prompt.form,
            single=not self._backend.info.drafts,
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

    def admit(self) -> tuple[Event, ...]:
        """Give slots to those whose turn it is. Tell before `step`: if that dies, it is known who was computed."""
        self._expire()
        if self._tiers:
            self._tiers.want(self._scheduler.next(), streams=self._scheduler.streaming)
        for admission in self._scheduler.admit(self._clock.monotonic()):
            self._start(admission)
        return self._told()

    def step(self) -> tuple[Event, ...]:
        """Compute and sample. Raises only what no single job is to blame for: then the worker must die."""
        step = self._scheduler.plan()
        if step.batches:
            self._compute(step)
        return self._told()

    def _told(self) -> tuple[Event, ...]:
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
            cache=self._tiers.stats() if self._tiers else CacheStats(),
        )

    def _expire(self) -> None:
        for sequence in self._scheduler.expired(self._clock.monotonic()):
            if sequence.id in self._live:
                self._end(sequence, FinishReason.DEADLINE)
            else:
                error = DeadlineExceeded("the job's time was up before its turn came: allow more")
                self._fail(sequence, error)

    def _start(self, admission: Admission) -> None:
        sequence, job = admission.sequence, admission.sequence.job
        self._place(admission)
        if job.id in self._live:  # it had yielded its slot, and goes on
            return
        try:
            if job.adapter:
                used = {live.adapter for live in self._live.values()}
                sequence.single |= not self._backend.adapt(job.adapter, used)
            sampler = self._backend.sampler(job, sequence.tokens[: sequence.prompt], sequence.form.constraint)
        except MongarsError as error:
            self._fail(sequence, error)
            return
        thinks = job.messages is not None and (self._backend.info.thinks or sequence.thinking)
        text = TextStream(job.stop, thinks=thinks, thinking=sequence.thinking)
        calls = Calls(job.id, sequence.form.parser)
        live = self._live[job.id] = Live(sampler, text, calls, sequence.form.marks, job.adapter)
        if job.produced:
            pieces = map(live.piece, job.produced, self._backend.pieces(job.produced))
            calls.feed(text.replay(job.produced, list(pieces)))
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

    def _place(self, admission: Admission) -> None:
        """Make the slot hold the sequence's first `cached` tokens."""
        sequence, (slot, cached, source, restored), replaced, adapter = admission
        tiers = self._tiers
        if tiers and len(replaced) >= BLOCK and (restored or source is not None or len(replaced) > cached):
            tiers.rescue(slot, replaced, adapter, streams=self._scheduler.streaming)
        if source is not None:
            self._backend.trim(slot, 0)
            self._backend.copy(source, slot)
        there = tiers is not None and tiers.restore(sequence) if restored else self._backend.trim(slot, cached)
        if not there:
            self._backend.trim(slot, 0)
            self._scheduler.uncached(sequence)
        if tiers:
            tiers.placed(sequence, restored=restored)

    def _compute(self, step: Step) -> None:
        if self._tiers:
            self._tiers.worked()
        begin = self._clock.monotonic()
        decoded = step.decoding
        for batch in step.batches:
            try:
                self._backend.decode(batch.rows)
            except NoRoom as error:  # each slot has cells of its own for its whole context: this cannot happen
                raise RuntimeError("the KV cache has less room than its slots promise") from error
            sampled = [
                self._sample(sequence, index) if row.outputs else None
                for index, (row, sequence) in enumerate(zip(batch.rows, batch.owners, strict=True))
            ]
            self._scheduler.computed(batch)
            if self._tiers:
                self._tiers.computed(batch.rows, batch.owners, streams=self._scheduler.streaming)
            now = self._clock.monotonic()
            for index, (row, sequence, choice) in enumerate(zip(batch.rows, batch.owners, sampled, strict=True)):
                if choice is None:
                    continue
                if isinstance(choice, BadRequest):
                    self._fail(sequence, choice)
                    continue
                if sequence.first_token is None:
                    sequence.first_token = now
                self._take(sequence, choice)
                if row.outputs > 1:
                    decoded += self._verify(index, row, sequence, choice)
        self._scheduler.commit(step, self._clock.monotonic() - begin, decoded)

    def _sample(self, sequence: Sequence, index: int, output: int = 0) -> Sampled | BadRequest:
        """The next token, or why the job's own grammar gives none."""
        try:
            return self._live[sequence.id].sampler.sample(index, output)
        except BadRequest as error:
            return error

    def _verify(self, index: int, row: Row, sequence: Sequence, choice: Sampled) -> int:
        """Keep of the row's draft what sampling says too; returns how many tokens that is.

        `choice` was taken for the place of the first drafted token. Each output is sampled only when all before it
        were drafted right, so the sampler sees and draws what it would have without a draft.
        """
        slot, draft = row.sequence, row.tokens[1:]
        kept, length = 0, row.start + 1
        while sequence.running and kept < len(draft) and choice.token == draft[kept]:
            kept += 1
            sequence.accepted += 1
            sequence.computed = length = length + 1
            after = self._sample(sequence, index, kept)
            if isinstance(after, BadRequest):
                self._fail(sequence, after)
                break
            choice = after
            self._take(sequence, choice)
        self._backend.trim(slot, length)
        return kept

    def _take(self, sequence: Sequence, choice: Sampled) -> None:
        if self._backend.is_end(choice.token):
            self._end(sequence, FinishReason.STOP)
            return
        sequence.tokens.append(choice.token)
        (piece,) = self._backend.pieces((choice.token,))
        live = self._live[sequence.id]
        released = live.text.push(choice.token, live.piece(choice.token, piece), choice.logprob)
        if released and released.stop is not None:
            self._end(sequence, FinishReason.STOP, released)
        elif sequence.full:
            self._end(sequence, FinishReason.LENGTH, released)
        elif released:
            self._emit(sequence, released, live.calls.feed(released.text))

    def _emit(self, sequence: Sequence, released: Released, said: tuple[str, tuple[ToolCall, ...]]) -> None:
        """One Delta a step: the tokens of a draft go together."""
        text, calls = said
        last, before = self._events[-1] if self._events else None, Delta(sequence.id, ())
        if isinstance(last, Delta) and last.job == sequence.id:
            self._events.pop()
            before = last
        self._events.append(
            Delta(
                job=sequence.id,
                tokens=(*before.tokens, *released.tokens),
                text=before.text + text,
                reasoning=before.reasoning + released.reasoning,
                logprobs=(*before.logprobs, *released.logprobs),
                calls=(*before.calls, *calls),
            )
        )

    def _end(self, sequence: Sequence, reason: FinishReason, released: Released | None = None) -> None:
        now = self._clock.monotonic()
        stop: str | None = None
        if live := self._live.pop(sequence.id, None):
            live.sampler.close()
            if released:
                self._emit(sequence, released, live.calls.feed(released.text))
            if rest := live.text.finish():  # nothing, when a stop string matched already
                self._emit(sequence, rest, live.calls.feed(rest.text))
            if any(said := live.calls.finish()):
                self._emit(sequence, Released(()), said)
            stop = live.text.stop
        first = sequence.first_token or now
        started = sequence.admitted if live else now
        self._scheduler.finish(sequence, now)
        if self._tiers:
            self._tiers.forget(sequence)
        self._events.append(
            Finished(
                job=sequence.id,
                reason=reason if stop is None else FinishReason.STOP,
                usage=Usage(sequence.prompt, sequence.completion, min(sequence.cached, sequence.prompt)),
                timings=Timings(
                    queue=started - sequence.arrived,
                    prefill=first - started,
                    decode=now - first,
                    drafted=sequence.drafted,
                    accepted=sequence.accepted,
                ),
                stop=stop,
            )
        )

    def _fail(self, sequence: Sequence, error: MongarsError) -> None:
        if live := self._live.pop(sequence.id, None):
            live.sampler.close()
        self._scheduler.finish(sequence, self._clock.monotonic())
        if self._tiers:
            self._tiers.forget(sequence)
        self._events.append(Failed(sequence.id, error.info()))


def prepare(backend: Backend, job: Job) -> Prompt | Failed | Finished:
    """The job's prompt, or the end of a job without one. May run in another thread than `step`."""
    try:
        if job.embed is not None:
            raise BadRequest("this model answers and makes no embeddings: name an embedding model", param="model")
        if job.rerank is not None:
            raise BadRequest("this model answers and ranks nothing: name a reranker", param="model")
        prompt = backend.prompt(job)
    except MongarsError as error:
        return Failed(job.id, error.info())
    if job.count:
        return Finished(job.id, FinishReason.STOP, Usage(len(prompt.tokens), 0))
    return prompt
