"""The real process over a real socketpair, with the backend that needs no model."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.engine import answer, job, load
from fakes.pool import alive

from mongarsd.ground.frames import Decoder, Encoder
from mongarsd.ground.job import Delta, Failed, Finished, FinishReason
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.worker.protocol import (
    Cancel,
    FromWorker,
    Load,
    Output,
    Pulse,
    Ready,
    Refused,
    Stop,
    Submit,
    ToWorker,
)

PATIENCE = 20.0  # seconds


class Worker:
    def __init__(self, sock: socket.socket, process: subprocess.Popen[bytes]) -> None:
        self.sock, self.process = sock, process
        self._messages = self._receive()

    def send(self, *messages: ToWorker) -> None:
        self.sock.sendall(b"".join(Encoder().frame(m) for m in messages))

    def _receive(self) -> Iterator[FromWorker]:
        decoder: Decoder[FromWorker] = Decoder(FromWorker)
        while data := self.sock.recv(65536):
            yield from decoder.feed(data)

    def next(self) -> FromWorker:
        return next(self._messages)

    def answer(self, name: str) -> tuple[str, Finished | Failed]:
        text = ""
        while True:
            message = self.next()
            for event in message.events if isinstance(message, Output) else ():
                if event.job == name and isinstance(event, Delta):
                    text += event.text
                if event.job == name and isinstance(event, Finished | Failed):
                    return text, event


@contextlib.contextmanager
def started(first: Load) -> Iterator[Worker]:
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE)
    command = [sys.executable, "-m", "mongarsd.inference.worker", str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    theirs.close()
    try:
        with ours:
            worker = Worker(ours, process)
            worker.send(first)
            yield worker
        assert process.wait(PATIENCE) is not None
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def worker() -> Iterator[Worker]:
    with started(load(context=100_000, path="fake?step=0.002")) as worker:
        assert isinstance(worker.next(), Ready)
        yield worker


def test_it_answers(worker: Worker) -> None:
    worker.send(Submit(job("a", max_tokens=12)))
    text, end = worker.answer("a")
    assert text.encode() == answer("hello", 12)
    assert isinstance(end, Finished)


def test_a_bad_job_fails_alone(worker: Worker) -> None:
    worker.send(Submit(job("bad", "")), Submit(job("good")))
    _, end = worker.answer("bad")
    assert isinstance(end, Failed)
    assert isinstance(worker.answer("good")[1], Finished)


def test_cancel_ends_a_job(worker: Worker) -> None:
    endless = Sampling(temperature=0.0, ignore_eos=True)
    worker.send(Submit(job("a", max_tokens=None, sampling=endless)), Cancel("a"))
    _, end = worker.answer("a")
    assert isinstance(end, Finished)
    assert end.reason is FinishReason.CANCELLED


def test_it_pulses_when_idle(worker: Worker) -> None:
    assert isinstance(worker.next(), Pulse)
    assert isinstance(worker.next(), Pulse)


def test_it_leaves_when_told_and_when_the_daemon_is_gone(worker: Worker) -> None:
    worker.send(Stop())
    assert worker.process.wait(PATIENCE) == 0
    with started(load()) as other:
        assert isinstance(other.next(), Ready)
        other.sock.close()
        assert other.process.wait(PATIENCE) == 0


def test_ctrl_c_at_the_terminal_is_not_its_business(worker: Worker) -> None:
    worker.process.send_signal(signal.SIGINT)
    worker.process.send_signal(signal.SIGTERM)
    worker.send(Submit(job("a")))
    assert isinstance(worker.answer("a")[1], Finished)


def test_an_unknown_backend_is_refused_with_a_reason() -> None:
    other = Load(
        **{name: getattr(load(), name) for name in Load.__struct_fields__ if name != "backend"}, backend="nope"
    )
    with started(other) as worker:
        message = worker.next()
        assert isinstance(message, Refused)
        assert "nope" in message.error.message


def test_it_volunteers_for_the_oom_killer(worker: Worker) -> None:
    assert int(Path(f"/proc/{worker.process.pid}/oom_score_adj").read_text()) > 0


def test_it_dies_with_its_parent_even_without_end_of_file() -> None:
    """The pipe's other end is inherited by a bystander, so only the parent's death can tell."""
    ours, theirs = socket.socketpair()
    program = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-m', 'mongarsd.inference.worker', '{theirs.fileno()}'],"
        f" pass_fds=[{theirs.fileno()}])\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], pass_fds=[theirs.fileno()], stdout=subprocess.PIPE)
    try:
        assert parent.stdout
        child = int(parent.stdout.readline())
        ours.settimeout(PATIENCE)
        ours.sendall(Encoder().frame(load()))
        assert ours.recv(1)
        parent.kill()
        limit = time.monotonic() + PATIENCE
        while alive(child) and time.monotonic() < limit:
            time.sleep(0.02)
        assert not alive(child)
    finally:
        parent.kill()
        parent.wait()
        assert parent.stdout
        parent.stdout.close()
        ours.close()
        theirs.close()
