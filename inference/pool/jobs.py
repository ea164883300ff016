"""The jobs of one model that are in the pool's hands, running or waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import Conflict, MongarsError
from mongarsd.ground.job import Event, Job, Started
from mongarsd.inference.pool.meters import Meters
from mongarsd.inference.pool.stream import JobStream


class Jobs:
    """A stream for each job; one that has ended is forgotten at once, though its reader may still be reading.

    `on_idle` is called when the last one goes.
    """

    def __init__(self, clock: Clock, meters: Meters, on_idle: Callable[[], None]) -> None:
        self.idle_since = clock.monotonic()  # of no meaning while there are jobs
        self._clock = clock
        self._meters = meters
        self._on_idle = on_idle
        self._streams: dict[str, JobStream] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, job: Job, since: float) -> JobStream:
        """`since`: when its deadline began to run."""
        if job.id in self._streams:
            raise Conflict(f"A job with the id {job.id} is running already.", param="id")
        stream = self._streams[job.id] = JobStream(job, since, self._meters)
        return stream

    def forget(self, stream: JobStream) -> None:
        if self._streams.pop(stream.job.id, None) is not None and not self._streams:
            self.idle_since = self._clock.monotonic()
            self._on_idle()

    def push(self, events: Iterable[Event]) -> bool:
        """Hand a step's events to their streams; True if there was a token among them."""
        now = self._clock.monotonic()
        tokens = False
        for event in events:
            stream = self._streams.get(event.job)
            if stream is None:
                continue  # cancelled, and the worker did not know yet
            stream.push(event, now)
            if stream.ended:
                self.forget(stream)
            elif type(event) is not Started:
                tokens = True
        return tokens

    def to_hand_over(self) -> list[JobStream]:
        """For a new worker: those who held a slot first, so that they get one again; the others in their order."""
        self.expire()
        return sorted(self._streams.values(), key=lambda stream: stream.started is None)

    def expire(self) -> None:
        """End those whose time is up while no worker has them."""
        now = self._clock.monotonic()
        for stream in list(self._streams.values()):
            if stream.overdue(now):
                stream.expire(now)
                self.forget(stream)

    def blame(self, how: str, *, guilty: bool = True) -> None:
        """The worker died: those who ran in it twice end, unless they are not to blame."""
        now = self._clock.monotonic()
        for stream in list(self._streams.values()):
            stream.crashed(how, now, guilty=guilty)
            if stream.ended:
                self.forget(stream)

    def fail(self, stream: JobStream, why: MongarsError) -> None:
        stream.fail(why, self._clock.monotonic())
        self.forget(stream)

    def fail_all(self, why: MongarsError) -> None:
        for stream in list(self._streams.values()):
            self.fail(stream, why)
