"""The worker process: `python -m mongarsd.inference.worker FD`, with one end of a socketpair as descriptor FD.

The main thread reads the pipe and prepares prompts (template, tokens); the engine's thread computes and writes. So a
long prompt that is being tokenised does not stop the running streams.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from mongarsd.ground.clock import SystemClock
from mongarsd.ground.errors import MongarsError
from mongarsd.ground.frames import Decoder, Encoder, FrameError
from mongarsd.ground.job import Failed, Job
from mongarsd.inference.engine.base import Backend, Prompt
from mongarsd.inference.engine.loop import Engine, prepare
from mongarsd.inference.engine.scheduler import Scheduler
from mongarsd.inference.engine.speculation import Speculation
from mongarsd.inference.engine.tiers import open_tiers
from mongarsd.inference.worker.backends import open_backend
from mongarsd.inference.worker.board import Following
from mongarsd.inference.worker.process import adopt, give_back, settle
from mongarsd.inference.worker.protocol import (
    PULSE,
    Cancel,
    ClearCache,
    FromWorker,
    Load,
    Output,
    Ready,
    Refused,
    Shrink,
    Stop,
    Submit,
    ToWorker,
)

#: Tokens a step may carry, all sequences together: llama.cpp's own default for a logical batch.
BATCH = 2048

#: None wakes the engine: a file was read or written.
Prepared = tuple[Job, Prompt] | Failed | Cancel | ClearCache | Shrink | Stop | None


class Pipe:
    """Blocking frames on a socket; read by one thread, written by one thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._encoder = Encoder()
        self._decoder: Decoder[ToWorker] = Decoder(ToWorker)

    def send(self, message: FromWorker) -> None:
        self._sock.sendall(self._encoder.frame(message))

    def receive(self) -> Iterator[ToWorker]:
        """All messages until the daemon closes its end."""
        while data := self._sock.recv(65536):
            yield from self._decoder.feed(data)


def prepared(backend: Backend, job: Job) -> Prepared:
    """The job with its prompt. Whatever goes wrong here is this job's alone: it has no slot yet, so the pool could not
    tell whom to blame, and would hand it to one worker after the other."""
    try:
        prompt = prepare(backend, job)
    except Exception as error:
        traceback.print_exc()
        why = MongarsError(f"The prompt could not be made ({type(error).__name__}): this is a fault of ours.")
        return Failed(job.id, why.info())
    return prompt if isinstance(prompt, Failed) else (job, prompt)


def read(messages: Iterator[ToWorker], opened: Future[Backend], inbox: SimpleQueue[Prepared]) -> None:
    """Until the daemon closes its end. Jobs that come before the model is loaded wait for it."""
    for message in messages:
        if isinstance(message, Submit):
            inbox.put(prepared(opened.result(), message.job))
        elif isinstance(message, Cancel | ClearCache | Shrink | Stop):
            inbox.put(message)


def serve(engine: Engine, threads: Following, inbox: SimpleQueue[Prepared], pipe: Pipe) -> None:
    """Step as long as there is work, sleep when there is none; returns at Stop."""
    pulsed = 0.0
    while True:
        failed: list[Failed] = []
        try:
            message = inbox.get(block=not engine.busy and not engine.idle(), timeout=PULSE)
            while True:
                if isinstance(message, Stop):
                    engine.close()
                    return
                if isinstance(message, Cancel):
                    engine.cancel(message.job)
                elif isinstance(message, Failed):
                    failed.append(message)
                elif isinstance(message, Shrink):
                    engine.shrink(message.bytes)
                    give_back()
                elif isinstance(message, ClearCache):
                    engine.clear_cache()
                elif message is not None:
                    engine.submit(*message)
                message = inbox.get_nowait()
        except Empty:
            pass
        if events := (*failed, *engine.admit()):
            pipe.send(Output(events))
        if events := engine.step():
            pipe.send(Output(events))
        threads.look(now := time.monotonic())
        if now - pulsed >= PULSE:
            pulsed = now
            pipe.send(threads.tell(engine.pulse()))


def compute(load: Load, pipe: Pipe, inbox: SimpleQueue[Prepared], opened: Future[Backend]) -> None:
    """The engine's thread. Whatever ends it ends the process: the pool restarts the worker and resumes its jobs.

    It alone calls native code that computes, loading included: libgomp keeps a team of threads for each thread that
    ever did, counts them all, and stops spinning at barriers when they outnumber the cores (measured: half the speed).
    """
    status = 0
    try:
        begin = time.monotonic()
        try:
            backend = open_backend(load)
        except MongarsError as error:
            pipe.send(Refused(error.info()))
            os._exit(1)
        scheduler = Scheduler(
            slots=backend.info.slots,
            context=backend.info.context,
            queue=load.queue,
            max_gap=load.max_gap,
            batch=BATCH,
            speculation=Speculation() if load.speculation and backend.info.cuts else None,
        )
        tiers = open_tiers(backend, scheduler.cells, load, lambda: inbox.put(None))
        engine = Engine(backend, scheduler, SystemClock(), load.node, tiers)
        settle()
        pipe.send(Ready(backend.info, time.monotonic() - begin))
        opened.set_result(backend)
        serve(engine, Following(backend, load, time.monotonic()), inbox, pipe)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the daemon is dead
    except BaseException:
        traceback.print_exc()
        status = 70
    os._exit(status)


def main() -> int:
    adopt()
    pipe = Pipe(socket.socket(fileno=int(sys.argv[1])))
    messages = pipe.receive()
    load = next(messages, None)
    if not isinstance(load, Load):
        return 0
    if load.backend == "onnx":
        from mongarsd.inference.onnx.worker import run  # the reader of a pipe that needs no engine

        run(load, pipe, messages)
        os._exit(0)
    inbox: SimpleQueue[Prepared] = SimpleQueue()
    opened: Future[Backend] = Future()
    threading.Thread(target=compute, args=(load, pipe, inbox, opened), name="engine", daemon=True).start()
    try:
        read(messages, opened, inbox)
    except (ConnectionResetError, FrameError) as error:
        print(f"worker: the pipe broke: {error}", file=sys.stderr)  # noqa: T201
    os._exit(0)  # the daemon is gone: a decode in native code need not end first


if __name__ == "__main__":
    sys.exit(main())
