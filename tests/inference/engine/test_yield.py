"""A batch job gives its slot to an interactive one, and goes on later without its client noticing."""

from __future__ import annotations

import pytest
from fakes.engine import Bench, answer, job

from mongarsd.ground.job import Finished, FinishReason, Priority, Started

BATCH = Priority.BATCH


def crowded(slots: int = 1) -> Bench:
    """All slots are taken by batch jobs that have said a few words."""
    bench = Bench(slots=slots)
    bench.submit(*(job(f"b{i}", f"batch {i}", max_tokens=30, priority=BATCH) for i in range(slots)))
    bench.step(5)
    return bench


def test_an_interactive_job_need_not_wait_for_a_batch_job() -> None:
    bench = crowded()
    bench.submit(job("now", "hi", max_tokens=4))
    bench.step()
    assert bench.started("now").queue < 0.02
    assert not any(isinstance(e, Finished) for e in bench.events["b0"])
    bench.run()
    assert bench.text("now").encode() == answer("hi", 4)
    assert bench.text("b0").encode() == answer("batch 0", 30)


def test_the_client_of_the_batch_job_does_not_notice() -> None:
    bench, quiet = crowded(), crowded()
    bench.run(job("now", "hi"))
    quiet.run()
    assert sum(isinstance(e, Started) for e in bench.events["b0"]) == 1
    assert bench.finished("b0").usage == quiet.finished("b0").usage
    assert bench.finished("b0").timings.queue == quiet.finished("b0").timings.queue
    assert bench.finished("b0").timings.prefill == quiet.finished("b0").timings.prefill


def test_its_sampler_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = crowded()
    made = []
    whole = bench.backend.sampler
    monkeypatch.setattr(bench.backend, "sampler", lambda job, *more: (made.append(job.id), whole(job, *more))[1])
    bench.run(job("now", "hi"))
    assert made == ["now"]


def test_the_youngest_batch_job_yields_and_only_when_no_slot_is_free() -> None:
    bench = crowded(slots=2)
    bench.submit(job("late", "another", max_tokens=30, priority=BATCH))
    bench.step()
    assert "late" in bench.scheduler.waiting.order([])[0].id
    bench.submit(job("now", "hi", max_tokens=30))
    bench.step()
    assert set(bench.scheduler.running) == {"b0", "now"}
    bench = Bench(slots=2)
    bench.run(job("b", "batch", priority=BATCH), job("now", "hi"))
    assert bench.scheduler.waiting.get("b") is None


def test_interactive_jobs_never_yield() -> None:
    bench = Bench(slots=1)
    bench.submit(job("first", max_tokens=30))
    bench.step(3)
    bench.submit(job("second", "hi"), job("third", "batch", priority=BATCH))
    bench.step()
    assert set(bench.scheduler.running) == {"first"}


def test_a_job_that_yielded_while_its_prompt_was_read_reads_it_again() -> None:
    bench = Bench(slots=1)
    bench.submit(job("b", "x" * 300, priority=BATCH))
    bench.step()
    assert bench.scheduler.running["b"].pending
    bench.run(job("now", "hi"))
    assert bench.text("b").encode() == answer("x" * 300, 20)


def test_a_job_that_yielded_can_be_cancelled_and_ends_at_its_deadline_with_what_it_has() -> None:
    bench = crowded()
    bench.submit(job("now", "hi", max_tokens=100))
    bench.step()
    bench.engine.cancel("b0")
    bench.step()
    assert bench.finished("b0").reason is FinishReason.CANCELLED
    bench = Bench(slots=1)
    bench.submit(job("b", "batch", max_tokens=100, priority=BATCH, deadline=0.1))
    bench.step(3)
    bench.submit(job("now", "hi", max_tokens=400))
    bench.step(20)
    assert bench.finished("b").reason is FinishReason.DEADLINE
    assert bench.finished("b").usage.completion == len(bench.tokens("b")) > 0


@pytest.mark.parametrize(("steps", "batch"), [(1, 16), (2, 16), (3, 16), (9, 64)])
def test_what_it_had_not_computed_is_no_prefix_for_who_takes_its_slot(steps: int, batch: int) -> None:
    """Half a prompt, and the token that was sampled last: they are in its text, but not in the cells."""
    bench = Bench(slots=1, batch=batch)
    bench.submit(job("b", "a prompt of more rows than one", max_tokens=30, priority=BATCH))
    bench.step(steps)
    yielding = bench.scheduler.running["b"]
    assert yielding.pending
    prompt = bytes(yielding.tokens).decode()
    computed = yielding.computed
    bench.run(job("now", prompt + " and so on", max_tokens=5))
    assert bench.started("now").cached <= computed
    assert bench.text("now").encode() == answer(prompt + " and so on", 5)
    assert bench.text("b").encode() == answer("a prompt of more rows than one", 30)
