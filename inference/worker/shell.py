"""What every worker does, whatever its model: two threads around one Runner.

The main thread reads the pipe and prepares jobs (template, tokens); the engine's thread computes and writes. So a long
prompt that is being tokenised does not stop the running streams.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from mongarsd.ground.errors import MongarsError
from mongarsd.ground.job import Event, Failed, Finished, Job
from mongarsd.inference.worker.process import give_back, settle
from mongarsd.inference.worker.protocol import (
    PULSE,
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
    ToWorker,
)

#: A job with what `prepare` made of it. None wakes the engine's thread: a file was read or written.
Prepared = tuple[Job, Any] | Failed | Finished | Cancel | ClearCache | Shrink | Stop | None
#: Loads the model; `wake` may be called from any thread. Raises InvalidModel, DoesNotFit, StartError.
Open = Callable[[Load, Callable[[], None]], "Runner"]


class Runner(Protocol):
    """A loaded model at work. Called from the engine's thread only, but for `prepare`."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def busy(self) -> bool:
        """Is there something to compute?"""
        ...

    def prepare(self, job: Job) -> Any:
        """What `submit` needs to know of the job, or its end; the main thread calls it while a step runs."""
        ...

    def submit(self, job: Job, prepared: Any) -> None:
        """Queue the job, or let the next step tell that it failed."""
        ...

    def cancel(self, job: str) -> None:
        """Free what the job occupies, at once. An unknown job has ended already."""
        ...

    def admit(self) -> tuple[Event, ...]:
        """Whose turn it is. Told before `step`: if that kills the process, it is known who was computed."""
        ...

    def step(self) -> tuple[Event, ...]:
        """Compute a little. Raises only what no single job is to blame for: then the worker must die."""
        ...

    def idle(self) -> bool:
        """Something useful for a moment in which nothing runs; true if there is more of it."""
        ...

    def pulse(self) -> Pulse: ...

    def shrink(self, size: int) -> None:
        """Give back about `size` bytes of caches."""
        ...

    def clear_cache(self) -> None: ...

    def close(self) -> None:
        """Save what is worth it."""
        ...


class Sender(Protocol):
    def send(self, message: FromWorker) -> None: ...


def run(load: Load, opener: Open, pipe: Sender, messages: Iterator[ToWorker]) -> None:
    """Returns when the daemon has closed its end; any other end is the end of the process."""
    inbox: SimpleQueue[Prepared] = SimpleQueue()
    opened: Future[Runner] = Future()
    threading.Thread(target=_compute, args=(load, opener, pipe, inbox, opened), name="engine", daemon=True).start()
    read(messages, opened, inbox)


def read(messages: Iterator[ToWorker], opened: Future[Runner], inbox: SimpleQueue[Prepared]) -> None:
    """Until the daemon closes its end. Jobs that come before the model is loaded wait for it."""
    for message in messages:
        if isinstance(message, Submit):
            inbox.put(_prepared(opened.result(), message.job))
        elif isinstance(message, Cancel | ClearCache | Shrink | Stop):
            inbox.put(message)


def _prepared(runner: Runner, job: Job) -> Prepared:
    """The job with its prompt. Whatever goes wrong here is this job's alone: it has no slot yet, so the pool could not
    tell whom to blame, and would hand it to one worker after the other."""
    try:
        found = runner.prepare(job)
    except Exception as error:
        traceback.print_exc()
        why = MongarsError(f"The prompt could not be made ({type(error).__name__}): this is a fault of ours.")
        return Failed(job.id, why.info())
    return found if isinstance(found, Failed | Finished) else (job, found)


def _compute(load: Load, opener: Open, pipe: Sender, inbox: SimpleQueue[Prepared], opened: Future[Runner]) -> None:
    """The engine's thread. Whatever ends it ends the process: the pool restarts the worker and resumes its jobs.

    It alone calls native code that computes, loading included: libgomp keeps a team of threads for each thread that
    ever did, counts them all, and stops spinning at barriers when they outnumber the cores (measured: half the speed).
    """
    status = 0
    try:
        begin = time.monotonic()
        try:
            runner = opener(load, lambda: inbox.put(None))
        except MongarsError as error:
            pipe.send(Refused(error.info()))
            os._exit(1)
        settle()
        pipe.send(Ready(runner.info, time.monotonic() - begin))
        opened.set_result(runner)
        serve(runner, inbox, pipe)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the daemon is dead
    except BaseException:
        traceback.print_exc()
        status = 70
    os._exit(status)


def serve(runner: Runner, inbox: SimpleQueue[Prepared], pipe: Sender) -> None:
    """Step as long as there is work, sleep when there is none; returns at Stop."""
    pulsed = 0.0
    while True:
        ended: list[Failed | Finished] = []
        try:
            message = inbox.get(block=not runner.busy and not runner.idle(), timeout=PULSE)
            while True:
                if isinstance(message, Stop):
                    runner.close()
                    return
                if isinstance(message, Cancel):
                    runner.cancel(message.job)
                elif isinstance(message, Failed | Finished):
                    ended.append(message)
                elif isinstance(message, Shrink):
                    runner.shrink(message.bytes)
                    give_back()
                elif isinstance(message, ClearCache):
                    runner.clear_cache()
                elif message is not None:
                    runner.submit(*message)
                message = inbox.get_nowait()
        except Empty:
            pass
        if events := (*ended, *runner.admit()):
            pipe.send(Output(events))
        if events := runner.step():
            pipe.send(Output(events))
        if (now := time.monotonic()) - pulsed >= PULSE:
            pulsed = now
            pipe.send(runner.pulse())
