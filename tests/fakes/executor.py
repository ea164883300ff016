"""An executor that says what the test tells it to, when the test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Literal

from mongarsd.ground.errors import ErrorInfo, MongarsError
from mongarsd.ground.executor import Estimate
from mongarsd.ground.job import (
    Delta,
    Event,
    Failed,
    Finished,
    FinishReason,
    Job,
    Started,
    Timings,
    TokenLogprob,
    Usage,
)

Phase = Literal["queue", "prefill", "decode"]


class FakeExecutor:
    """Every job gets `deltas` (texts, or whole Deltas for anything special).

    `refuse` is raised before the first event; `fail` is sent as Failed after the last delta. `hold` names the phase in
    which every job waits for `release()`: before Started, before the first delta, or between the first and the second.
    `running` counts the iterators that are open; `jobs` are all that were ever handed over.
    """

    def __init__(
        self,
        deltas: Sequence[str | Delta] = ("Hello", ", ", "world"),
        *,
        refuse: MongarsError | None = None,
        fail: ErrorInfo | None = None,
        hold: Phase | None = None,
        reason: FinishReason = FinishReason.STOP,
        cached: int = 0,
        stop: str | None = None,
    ) -> None:
        self.deltas = list(deltas)
        self.refuse, self.fail, self.hold = refuse, fail, hold
        self.reason, self.cached, self.stop = reason, cached, stop
        self.jobs: list[Job] = []
        self.running = 0
        self._released = asyncio.Event()

    def release(self) -> None:
        self._released.set()

    def estimate(self, job: Job) -> Estimate:
        return Estimate(first_token=1.0, finish=2.0, why="a fake has no reasons", position=self.running)

    async def run(self, job: Job) -> AsyncIterator[Event]:
        self.jobs.append(job)
        self.running += 1
        try:
            if self.refuse:
                raise self.refuse
            await self._wait("queue")
            yield Started(job=job.id, node="fake", queue=0.0, prompt=7, cached=self.cached)
            await self._wait("prefill")
            for number, delta in enumerate(self.deltas):
                if number == 1:
                    await self._wait("decode")
                yield self._delta(job, number, delta)
            if self.fail:
                yield Failed(job=job.id, error=self.fail)
                return
            usage = Usage(prompt=7, completion=len(self.deltas), cached=self.cached)
            yield Finished(job=job.id, reason=self.reason, usage=usage, timings=Timings(0.0, 0.1, 0.2), stop=self.stop)
        finally:
            self.running -= 1

    async def _wait(self, phase: Phase) -> None:
        if self.hold == phase:
            await self._released.wait()
        await asyncio.sleep(0)

    def _delta(self, job: Job, number: int, delta: str | Delta) -> Delta:
        if isinstance(delta, Delta):
            return delta
        logprobs: tuple[TokenLogprob, ...] = ()
        if job.logprobs is not None:
            piece = delta.encode()
            top = tuple((token, piece + b"%d" % token, -1.0 - token) for token in range(job.logprobs))
            logprobs = (TokenLogprob(number, piece, -0.5, top),)
        return Delta(job=job.id, tokens=(number,), text=delta, logprobs=logprobs)
