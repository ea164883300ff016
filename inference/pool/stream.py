"""One job in the pool's hands: what was delivered, what waits for its reader, and what it went through."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby

from msgspec import structs

from mongarsd.ground.errors import DeadlineExceeded, MongarsError, WorkerCrashed
from mongarsd.ground.job import (
    Delta,
    Embedded,
    Event,
    Failed,
    Finished,
    FinishReason,
    Job,
    Ranked,
    Started,
    Timings,
    Usage,
)
from mongarsd.inference.pool.meters import Meters

#: Events that may wait for a slow reader before they are merged: then its memory is the answer's text, no more.
LAG = 64
#: A job that was running in this many crashes is not tried again.
LIVES = 2


def merge(deltas: Sequence[Delta]) -> Delta:
    """One Delta that says the same."""
    if len(deltas) == 1:
        return deltas[0]
    return Delta(
        deltas[0].job,
        tuple(token for delta in deltas for token in delta.tokens),
        "".join(delta.text for delta in deltas),
        "".join(delta.reasoning for delta in deltas),
        tuple(logprob for delta in deltas for logprob in delta.logprobs),
        tuple(call for delta in deltas for call in delta.calls),
    )


def squeeze(events: Sequence[Event]) -> list[Event]:
    """The same events, with neighbouring Deltas merged."""
    squeezed: list[Event] = []
    for _, group in groupby(events, lambda event: type(event) is Delta):
        run = list(group)
        deltas = [event for event in run if isinstance(event, Delta)]
        squeezed += [merge(deltas)] if deltas else run
    return squeezed


class JobStream:
    """The pool pushes a worker's events in, one reader takes them out.

    `produced` holds every token that came, so the job can be carried on by another worker. `running` is true while
    it holds a slot of the present worker.
    """

    def __init__(self, job: Job, now: float, meters: Meters) -> None:
        self.job = job
        self.produced = list(job.produced)
        self.running = False
        self.started: Started | None = None
        self.ended = False
        self._meters = meters
        self._crashes = 0
        self._blamed = 0
        self._accepted = now
        self._handed_over: float | None = None
        self._started_at = now
        self._first_at: float | None = None  # first and last token
        self._last_at = now
        self._pending: list[Event] = []
        self._reader: asyncio.Future[None] | None = None

    # The worker's side:

    def hand_over(self, now: float) -> Job:
        """The job as the present worker should get it: from where it stands, with the time that is left."""
        if self._handed_over is None:
            self._handed_over = now
        left = self._left(now)
        if left == self.job.deadline and len(self.produced) == len(self.job.produced):
            return self.job
        return structs.replace(self.job.resume(tuple(self.produced)), deadline=left)

    def push(self, event: Event, now: float) -> None:
        if self.ended:
            return
        if isinstance(event, Delta):
            self._count_delta(event, now)
        elif isinstance(event, Started):
            event = self._start(event)
        elif isinstance(event, Embedded):
            self._meters.embeddings.add(by=len(self.job.embed or ()))
        elif isinstance(event, Ranked):
            self._meters.reranked.add(by=len(event.scores))
        else:
            event = self._end(event)
        self._pending.append(event)
        if len(self._pending) > LAG:
            self._pending = squeeze(self._pending)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def fail(self, error: MongarsError, now: float) -> None:
        self.push(Failed(self.job.id, error.info()), now)

    def crashed(self, how: str, now: float, *, guilty: bool = True) -> None:
        """The worker died. A job that ran in it is blamed, and fails when it was blamed before."""
        if not self.running:
            return
        self.running = False
        self._crashes += 1
        self._blamed += guilty
        if self._blamed >= LIVES:
            message = (
                f"The model's worker {how}; this request was running in {self._blamed} crashes and is not tried again."
            )
            self.fail(WorkerCrashed(message, crashes=self._blamed), now)

    def overdue(self, now: float) -> bool:
        left = self._left(now)
        return left is not None and left <= 0

    def expire(self, now: float) -> None:
        """End a job whose time ran out while no worker had it."""
        if self.started is None:
            message = f"The request was to be answered in {self.job.deadline:g} s and never started: allow more time."
            self.fail(DeadlineExceeded(message), now)
        else:
            usage = Usage(self.started.prompt, len(self.produced), self.started.cached)
            self.push(Finished(self.job.id, FinishReason.DEADLINE, usage), now)

    # The reader's side:

    @property
    def drained(self) -> bool:
        """Has the end been taken?"""
        return self.ended and not self._pending

    def arrival(self) -> asyncio.Future[None]:
        """Done as soon as there is something to take. One reader waits, and may be cancelled."""
        self._reader = asyncio.get_running_loop().create_future()
        if self._pending:
            self._reader.set_result(None)
        return self._reader

    def take(self) -> Event:
        """What has arrived first; Deltas that have piled up come as one. After Finished or Failed there is nothing."""
        if len(self._pending) > 1:
            self._pending = squeeze(self._pending)
        return self._pending.pop(0)

    def abandon(self) -> None:
        """The reader is gone."""
        if not self.ended:
            self.ended = True
            self._count_end("cancelled", None)
        self._pending.clear()

    def _left(self, now: float) -> float | None:
        return None if self.job.deadline is None else self.job.deadline - (now - self._accepted)

    def _count_delta(self, event: Delta, now: float) -> None:
        self.produced += event.tokens
        if self._first_at is None:
            self._first_at = now
            self._meters.first_token.observe(now - self._accepted)
        else:
            self._meters.gap.observe(now - self._last_at)
        self._last_at = now

    def _start(self, event: Started) -> Started:
        self.running = True
        if self.started is not None:
            return structs.replace(event, restarted=True)
        waited = (self._handed_over or self._accepted) - self._accepted  # for the model to be loaded
        self.started = structs.replace(event, queue=event.queue + waited)
        self._started_at = self._accepted + self.started.queue  # `now` is the end of the step that started it
        self._meters.queue.observe(self.started.queue)
        return self.started

    def _end(self, event: Finished | Failed) -> Finished | Failed:
        self.ended = True
        self.running = False
        if isinstance(event, Failed):
            self._count_end("failed" if self.started else "refused", None)
            return event
        if self.started is not None:
            self._meters.drafted_tokens.add(by=event.timings.drafted)
            self._meters.accepted_tokens.add(by=event.timings.accepted)
            event = structs.replace(
                event,
                usage=Usage(self.started.prompt, event.usage.completion, self.started.cached),
                timings=self._timings(event.timings, self.started.queue),
            )
        self._count_end(event.reason.value, event.usage)
        return event

    def _timings(self, last: Timings, queue: float) -> Timings:
        """Those of the whole job. What a dead worker measured is lost: after a crash the pool's own times stand."""
        if not self._crashes:
            return structs.replace(last, queue=queue)
        first = self._last_at if self._first_at is None else self._first_at
        return Timings(
            queue=queue,
            prefill=max(0.0, first - self._started_at),
            decode=max(0.0, self._last_at - first),
            restarts=last.restarts + self._crashes,
            drafted=last.drafted,
            accepted=last.accepted,
        )

    def _count_end(self, outcome: str, usage: Usage | None) -> None:
        self._meters.jobs.add(outcome)
        if self.started is not None:
            self._meters.prompt_tokens.add(by=self.started.prompt)
            self._meters.cached_tokens.add(by=self.started.cached)
        completion = usage.completion if usage else len(self.produced)
        self._meters.completion_tokens.add(by=completion - len(self.job.produced))
