"""The worker process of an ONNX model: the same pipe and the same life as a llama.cpp worker's, around an Embedder.

The main thread reads the pipe and makes tokens of texts; the other computes and writes.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Protocol

from mongarsd.ground.clock import SystemClock
from mongarsd.ground.errors import MongarsError
from mongarsd.ground.job import Failed, Job
from mongarsd.inference.onnx.batches import Tokens
from mongarsd.inference.onnx.embedder import Embedder, open_embedder
from mongarsd.inference.worker.process import settle
from mongarsd.inference.worker.protocol import (
    PULSE,
    Cancel,
    FromWorker,
    Load,
    Output,
    Ready,
    Refused,
    Stop,
    Submit,
    ToWorker,
)

Prepared = tuple[Job, list[Tokens]] | Failed | Cancel | Stop


class Pipe(Protocol):
    def send(self, message: FromWorker) -> None: ...


def run(load: Load, pipe: Pipe, messages: Iterator[ToWorker]) -> None:
    """Returns when the daemon has closed its end; any other end is the end of the process."""
    inbox: SimpleQueue[Prepared] = SimpleQueue()
    opened: Future[Embedder] = Future()
    threading.Thread(target=_compute, args=(load, pipe, inbox, opened), name="embedder", daemon=True).start()
    for message in messages:
        if isinstance(message, Submit):
            tokens = opened.result().prepare(message.job)
            inbox.put(tokens if isinstance(tokens, Failed) else (message.job, tokens))
        elif isinstance(message, Cancel | Stop):
            inbox.put(message)


def _compute(load: Load, pipe: Pipe, inbox: SimpleQueue[Prepared], opened: Future[Embedder]) -> None:
    status = 0
    try:
        begin = time.monotonic()
        try:
            embedder = open_embedder(load, SystemClock())
        except MongarsError as error:
            pipe.send(Refused(error.info()))
            os._exit(1)
        settle()
        pipe.send(Ready(embedder.info, time.monotonic() - begin))
        opened.set_result(embedder)
        _serve(embedder, inbox, pipe)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the daemon is dead
    except BaseException:
        traceback.print_exc()
        status = 70
    os._exit(status)


def _serve(embedder: Embedder, inbox: SimpleQueue[Prepared], pipe: Pipe) -> None:
    """Run as long as texts wait, sleep when none do; returns at Stop."""
    pulsed = 0.0
    while True:
        failed: list[Failed] = []
        try:
            message = inbox.get(block=not embedder.busy, timeout=PULSE)
            while True:
                if isinstance(message, Stop):
                    return
                if isinstance(message, Cancel):
                    embedder.cancel(message.job)
                elif isinstance(message, Failed):
                    failed.append(message)
                else:
                    embedder.submit(*message)
                message = inbox.get_nowait()
        except Empty:
            pass
        if events := (*failed, *embedder.step()):
            pipe.send(Output(events))
        if (now := time.monotonic()) - pulsed >= PULSE:
            pulsed = now
            pipe.send(embedder.pulse())
