"""The thread that reads the pipe and makes prompts."""

from __future__ import annotations

from concurrent.futures import Future
from queue import SimpleQueue

import pytest
from fakes.engine import job, load

from mongarsd.ground.job import Failed, Job
from mongarsd.inference.engine.base import Prompt
from mongarsd.inference.engine.fake import FakeBackend
from mongarsd.inference.worker.generator import generator
from mongarsd.inference.worker.protocol import Submit
from mongarsd.inference.worker.shell import Prepared, Runner, read


class Brittle(FakeBackend):
    def prompt(self, job: Job) -> Prompt:
        if job.text == "poison":
            raise RecursionError("too deep")
        return super().prompt(job)


def test_a_prompt_that_cannot_be_made_is_the_end_of_its_job_alone(capsys: pytest.CaptureFixture[str]) -> None:
    opened: Future[Runner] = Future()
    opened.set_result(generator(Brittle(load()), load(), lambda: None))
    inbox: SimpleQueue[Prepared] = SimpleQueue()
    good = job("good")
    read(iter((Submit(job("bad", "poison")), Submit(good))), opened, inbox)
    bad = inbox.get_nowait()
    assert isinstance(bad, Failed)
    assert bad.job == "bad"
    assert "RecursionError" in bad.error.message
    assert inbox.get_nowait() == (good, FakeBackend(load()).prompt(good))
    assert "too deep" in capsys.readouterr().err
