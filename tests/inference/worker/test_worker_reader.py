"""The two threads of a worker: the one that reads the pipe and makes prompts, and the one that computes."""

from __future__ import annotations

from concurrent.futures import Future
from queue import SimpleQueue

import pytest
from fakes.engine import job, load

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.job import Delta, Event, Failed, Finished, FinishReason, Job
from mongarsd.inference.engine.base import Prompt
from mongarsd.inference.engine.fake import FakeBackend
from mongarsd.inference.worker.generator import generator
from mongarsd.inference.worker.protocol import Cancel, FromWorker, Output, Stop, Submit
from mongarsd.inference.worker.shell import Prepared, Runner, read, serve


class Brittle(FakeBackend):
    def prompt(self, job: Job) -> Prompt:
        if job.text == "poison":
            raise RecursionError("too deep")
        return super().prompt(job)


def test_a_prompt_that_cannot_be_made_is_the_end_of_its_job_alone(capsys: pytest.CaptureFixture[str]) -> None:
    opened: Future[Runner] = Future()
    opened.set_result(generator(Brittle(load()), load(), lambda: None, FakeClock()))
    inbox: SimpleQueue[Prepared] = SimpleQueue()
    good = job("good")
    read(iter((Submit(job("bad", "poison")), Submit(good))), opened, inbox)
    bad = inbox.get_nowait()
    assert isinstance(bad, Failed)
    assert bad.job == "bad"
    assert "RecursionError" in bad.error.message
    assert inbox.get_nowait() == (good, FakeBackend(load()).prompt(good))
    assert "too deep" in capsys.readouterr().err


class Impatient:
    """The other end of the pipe: takes the job back at its first word, and leaves at its end."""

    def __init__(self, inbox: SimpleQueue[Prepared]) -> None:
        self._inbox = inbox
        self.events: list[Event] = []

    def send(self, message: FromWorker) -> None:
        events = message.events if isinstance(message, Output) else ()
        self.events += events
        if any(isinstance(event, Delta) for event in events):
            self._inbox.put(Cancel("a"))
        if any(isinstance(event, Finished) for event in events):
            self._inbox.put(Stop())


def test_cancel_ends_a_job_before_the_next_step() -> None:
    backend = FakeBackend(load())
    inbox: SimpleQueue[Prepared] = SimpleQueue()
    client = Impatient(inbox)
    one = job("a", max_tokens=400)
    inbox.put((one, backend.prompt(one)))
    serve(generator(backend, load(), lambda: None, FakeClock()), inbox, client)
    assert isinstance(end := client.events[-1], Finished)
    assert (end.reason, end.usage.completion) == (FinishReason.CANCELLED, 1)
