"""The one contract of every place that can run a job: this board's pool, a peer, Ray."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from msgspec import Struct

from mongarsd.ground.job import Event, Job


class Estimate(Struct, frozen=True):
    """Seconds from now. `position` counts the jobs ahead in the queue; `why` is for people."""

    first_token: float
    finish: float
    why: str
    position: int = 0


class Executor(Protocol):
    def run(self, job: Job) -> AsyncIterator[Event]:
        """Yield Started, Deltas (or one Embedded or Ranked), and one Finished or Failed. Closing it cancels the job.

        Raises MongarsError before the first event when the job is not accepted
        (Busy, BadRequest, NotFound, DoesNotFit).
        """
        ...

    def estimate(self, job: Job) -> Estimate:
        """Say when the job would start and end here. Never blocks, changes nothing."""
        ...
