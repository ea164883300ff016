"""A worker without an engine: a real process that speaks the real protocol and does what its script says.

    worker_process.py SCRIPT FD        SCRIPT: JSON of the fields of `Script`

A job's own script is JSON in `job.text` (fields of `JobScript`). The token at a position depends only on the job's seed
and the position, so the text of a resumed job can be compared with the undisturbed one.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
import zlib
from pathlib import Path

import msgspec
from msgspec import Struct

from mongarsd.ground.errors import ErrorInfo
from mongarsd.ground.frames import Decoder, Encoder
from mongarsd.ground.job import Delta, Event, Failed, Finished, FinishReason, Job, Started, Timings, Usage
from mongarsd.inference.worker.protocol import (
    Cancel,
    Load,
    ModelInfo,
    Output,
    Pulse,
    Ready,
    Refused,
    Stop,
    Submit,
    ToWorker,
)


class Script(Struct, forbid_unknown_fields=True):
    step: float = 0.001  # seconds
    pulse: float = 0.1
    load_seconds: float = 0.0
    refuse: str = ""  # error code: the model is refused
    crash_loads: int = 0  # so many loads end in a crash, counted in the file `counter`
    counter: str = ""
    mute: bool = False  # never reads nor answers
    deaf: bool = False  # loads, then reads nothing


class JobScript(Struct, forbid_unknown_fields=True):
    tokens: int = 20
    prompt: int = 7
    refuse: str = ""  # error code instead of Started
    crash_at: int = -1  # position at which the process kills itself
    crash_signal: int = int(signal.SIGSEGV)
    crash_again: bool = True  # also when resumed
    hang_at: int = -1  # position at which the process stops, unless resumed
    fail_at: int = -1  # position at which the job fails


def token_at(seed: int, position: int) -> int:
    return zlib.crc32(f"{seed}:{position}".encode()) % 1000


def text_of(tokens: tuple[int, ...]) -> str:
    return "".join(f"{token} " for token in tokens)


def whole_text(seed: int, tokens: int) -> str:
    """What an undisturbed job says."""
    return text_of(tuple(token_at(seed, position) for position in range(tokens)))


class Worker:
    def __init__(self, script: Script, sock: socket.socket) -> None:
        self.script = script
        self.sock = sock
        self.encode = Encoder().frame
        self.decoder: Decoder[ToWorker] = Decoder(ToWorker)
        self.load: Load | None = None
        self.waiting: list[Job] = []
        self.running: dict[str, tuple[Job, JobScript, int]] = {}  # job, its script, next position
        self.pulsed = 0.0

    def send(self, message: object) -> None:
        self.sock.sendall(self.encode(message))

    def run(self) -> None:
        print("fake worker starts", flush=True)  # noqa: T201 - the pool reads it
        while True:
            idle = not self.running and not self.waiting
            timeout = self.script.pulse if idle else self.script.step
            readable, _, _ = select.select([] if self.script.mute else [self.sock], [], [], timeout)
            if readable:
                data = self.sock.recv(1 << 20)
                if not data:
                    return
                for message in self.decoder.feed(data):
                    self.receive(message)
            if self.load is not None:
                self.step()

    def receive(self, message: ToWorker) -> None:
        if isinstance(message, Load):
            self.start(message)
        elif isinstance(message, Submit):
            self.waiting.append(message.job)
        elif isinstance(message, Cancel):
            self.waiting = [job for job in self.waiting if job.id != message.job]
            self.running.pop(message.job, None)
        elif isinstance(message, Stop):
            sys.exit(0)

    def start(self, load: Load) -> None:
        script = self.script
        if script.crash_loads:
            with Path(script.counter).open("a+") as file:
                file.write("x")
            if Path(script.counter).stat().st_size <= script.crash_loads:
                os.kill(os.getpid(), signal.SIGABRT)
        if script.refuse:
            self.send(Refused(ErrorInfo(script.refuse, "refused by the script")))
            sys.exit(0)
        time.sleep(script.load_seconds)
        self.load = load
        info = ModelInfo(
            architecture="fake",
            parameters=1,
            vocabulary=1000,
            context_train=load.context,
            context=load.context,
            slots=load.slots,
            kv_bytes_per_token=1,
            has_template=False,
        )
        self.send(Ready(info, script.load_seconds))
        if script.deaf:
            while True:
                time.sleep(script.pulse)
                self.pulse()

    def step(self) -> None:
        assert self.load is not None
        events: list[Event] = []
        while self.waiting and len(self.running) < self.load.slots:
            self.admit(self.waiting.pop(0), events)
        surplus = len(self.waiting) - self.load.queue
        for _ in range(surplus):
            job = self.waiting.pop()
            events.append(Failed(job.id, ErrorInfo("busy", "the queue is full", None, {"retry_after": 3})))
        for job, script, position in list(self.running.values()):
            self.advance(job, script, position, events)
        if events:
            self.send(Output(tuple(events)))
        self.pulse()

    def admit(self, job: Job, events: list[Event]) -> None:
        assert self.load is not None
        script = msgspec.json.decode(job.text or "{}", type=JobScript)
        if script.refuse:
            events.append(Failed(job.id, ErrorInfo(script.refuse, "refused by the script", "text")))
            return
        self.running[job.id] = (job, script, len(job.produced))
        events.append(Started(job.id, self.load.node, 0.0, script.prompt))

    def advance(self, job: Job, script: JobScript, position: int, events: list[Event]) -> None:
        fresh = script.crash_again or not job.produced
        if position == script.crash_at and fresh:
            self.send(Output(tuple(events)))
            os.kill(os.getpid(), script.crash_signal)
        if position == script.hang_at and not job.produced:
            self.send(Output(tuple(events)))
            os.kill(os.getpid(), signal.SIGSTOP)
        if position == script.fail_at:
            events.append(Failed(job.id, ErrorInfo("internal_error", "failed by the script")))
            del self.running[job.id]
            return
        if position < script.tokens:
            tokens = (token_at(job.sampling.seed, position),)
            events.append(Delta(job.id, tokens, text_of(tokens)))
            position += 1
            self.running[job.id] = (job, script, position)
        if position >= script.tokens:
            usage = Usage(script.prompt, position)
            events.append(Finished(job.id, FinishReason.LENGTH, usage, Timings(0.0, 0.5, 0.25)))
            del self.running[job.id]

    def pulse(self) -> None:
        if (now := time.monotonic()) - self.pulsed < self.script.pulse:
            return
        self.pulsed = now
        self.send(
            Pulse(
                busy_slots=len(self.running),
                queued=len(self.waiting),
                backlog_prefill=0,
                backlog_decode=sum(script.tokens - at for _, script, at in self.running.values()),
                prefill_rate=100.0,
                decode_rate=50.0,
                step=self.script.step,
                cached_tokens=3,
            )
        )


if __name__ == "__main__":
    Worker(msgspec.json.decode(sys.argv[1], type=Script), socket.socket(fileno=int(sys.argv[2]))).run()
