from __future__ import annotations

import pytest
from fakes.engine import Bench, answer, job

from mongarsd.ground.job import FinishReason, Priority, Started
from mongarsd.ground.sampling import Sampling

LONG = "a prompt that is longer than one chunk of sixty-four tokens, so that it takes several steps to compute it all"


def test_one_job_is_answered() -> None:
    bench = Bench()
    bench.run(job("a", max_tokens=20))
    assert bench.text("a").encode() == answer("hello", 20)
    done = bench.finished("a")
    assert done.reason is FinishReason.LENGTH
    assert (done.usage.prompt, done.usage.completion, done.usage.cached) == (5, 20, 0)


def test_many_jobs_at_once_answer_as_if_alone() -> None:
    bench = Bench(slots=4, queue=16)
    jobs = [job(str(i), f"{LONG} {i}", max_tokens=30) for i in range(12)]
    bench.run(*jobs)
    for one in jobs:
        assert one.text
        assert bench.text(one.id).encode() == answer(one.text, 30)


def test_the_end_token_stops() -> None:
    bench = Bench(context=4000)
    bench.run(job("a", max_tokens=None), steps=4000)
    assert bench.text("a").endswith("!")
    assert bench.finished("a").reason is FinishReason.STOP


def test_a_stop_string_stops_and_is_not_shown() -> None:
    whole = answer("hello", 60).decode()
    stop = whole[20:23]
    bench = Bench()
    bench.run(job("a", max_tokens=60, stop=(stop,)))
    assert bench.text("a") == whole[: whole.index(stop)]
    assert bench.finished("a").reason is FinishReason.STOP
    assert bench.finished("a").stop == stop


def test_the_context_is_the_limit_when_nothing_else_is() -> None:
    bench = Bench(context=40)
    bench.run(job("a", max_tokens=None, sampling=Sampling(temperature=0.0, ignore_eos=True)))
    assert bench.finished("a").reason is FinishReason.LENGTH
    assert bench.finished("a").usage.completion == 40 - 5


def test_a_prompt_over_the_context_is_refused_with_the_numbers() -> None:
    bench = Bench(context=40)
    bench.run(job("a", "x" * 40))
    assert bench.error("a") == "context_length_exceeded"
    assert bench.events["a"][0].error.detail == {"prompt": 40, "limit": 40}  # type: ignore[union-attr]


def test_an_empty_prompt_is_refused() -> None:
    bench = Bench()
    bench.run(job("a", ""))
    assert bench.error("a") == "invalid_request"


def test_no_tokens_wanted_none_given() -> None:
    bench = Bench()
    bench.run(job("a", max_tokens=0))
    assert bench.finished("a").usage.completion == 0


def test_a_second_turn_computes_only_what_is_new() -> None:
    bench = Bench()
    bench.run(job("a", LONG, max_tokens=10))
    again = LONG + bench.text("a") + " and then?"
    bench.run(job("b", again, max_tokens=10))
    assert bench.started("b").cached >= len(LONG) + 9
    assert bench.text("b").encode() == answer(again, 10)


def test_the_same_prompt_at_the_same_time_is_computed_once() -> None:
    bench = Bench()
    bench.run(*(job(str(i), LONG, max_tokens=10) for i in range(4)))
    assert sorted(bench.started(str(i)).cached for i in range(4)) == [0, *[len(LONG) - 1] * 3]
    assert {bench.text(str(i)).encode() for i in range(4)} == {answer(LONG, 10)}


def test_cancel_frees_the_slot_at_once_in_every_phase() -> None:
    bench = Bench(slots=1)
    bench.submit(job("prefill", LONG * 3), job("waiting"), job("decode", "other", max_tokens=None))
    bench.step()
    assert bench.started("prefill")
    bench.engine.cancel("prefill")
    bench.engine.cancel("waiting")
    bench.step(3)
    assert bench.text("decode")
    bench.engine.cancel("decode")
    bench.engine.cancel("decode")
    bench.engine.cancel("never heard of")
    bench.step()
    assert [bench.finished(name).reason for name in ("prefill", "waiting", "decode")] == [FinishReason.CANCELLED] * 3
    assert not bench.engine.busy
    assert bench.scheduler.cells.free == 1


def test_a_deadline_ends_a_running_job_with_what_it_has_and_fails_a_waiting_one() -> None:
    bench = Bench(slots=1)
    bench.submit(job("running", max_tokens=None, deadline=0.5), job("waiting", deadline=0.5))
    bench.step(10)
    bench.clock.advance(1.0)
    bench.step()
    assert bench.finished("running").reason is FinishReason.DEADLINE
    assert bench.text("running")
    assert bench.error("waiting") == "deadline_exceeded"


def test_a_full_queue_says_so_with_position_and_estimate() -> None:
    bench = Bench(slots=1, queue=1)
    bench.submit(job("a"), job("b"), job("c"))
    bench.step()
    assert bench.error("c") == "busy"
    detail = bench.events["c"][0].error.detail  # type: ignore[union-attr]
    assert detail["position"] == 2
    assert detail["retry_after"] >= 1
    assert detail["estimate"] > 0


def test_a_resumed_job_goes_on_after_what_was_produced() -> None:
    bench = Bench()
    whole = answer("hello", 30)
    bench.run(job("a", max_tokens=30, produced=tuple(whole[:12])))
    assert bench.text("a").encode() == whole[12:]
    usage = bench.finished("a").usage
    assert (usage.prompt, usage.completion) == (5, 30)


def test_a_job_that_had_all_its_tokens_before_the_restart_just_ends() -> None:
    bench = Bench()
    bench.run(job("a", max_tokens=3, produced=(97, 98, 99)))
    assert bench.finished("a").reason is FinishReason.LENGTH
    assert bench.text("a") == ""


def test_a_refused_sampler_frees_the_slot() -> None:
    bench = Bench(slots=1)
    bench.run(job("a", sampling=Sampling(logit_bias=((999, 1.0),))), job("b"))
    assert bench.error("a") == "invalid_request"
    assert bench.finished("b")


def test_interactive_jobs_go_before_batch_jobs() -> None:
    bench = Bench(slots=1)
    bench.run(job("first"), job("batch", "b", priority=Priority.BATCH), job("now", "n", account="somebody else"))
    assert bench.finished("batch").timings.queue > bench.finished("now").timings.queue


def test_a_running_stream_gets_a_token_in_every_step_while_a_long_prompt_arrives() -> None:
    bench = Bench(context=4000)
    bench.submit(job("stream", max_tokens=None, sampling=Sampling(temperature=0.0, ignore_eos=True)))
    bench.step(2)
    bench.submit(job("long", LONG * 20))
    for _ in range(15):
        before = len(bench.tokens("stream"))
        bench.step()
        assert len(bench.tokens("stream")) == before + 1
    assert not any(bench.tokens("long"))


def test_a_short_prompt_does_not_wait_for_a_long_one() -> None:
    bench = Bench(context=4000)
    bench.submit(job("long", LONG * 30), job("short", "hi"))
    bench.step(3)
    assert bench.text("short")
    assert not bench.text("long")


def test_the_pulse_counts_what_there_is() -> None:
    bench = Bench(slots=1)
    bench.submit(job("a", max_tokens=None), job("b", "other"))
    bench.step(5)
    pulse = bench.engine.pulse()
    assert (pulse.busy_slots, pulse.queued) == (1, 1)
    assert pulse.backlog_prefill >= 5
    assert pulse.backlog_decode > 0
    assert pulse.decode_rate > 0


def test_who_is_computed_is_told_before_computing_so_a_crash_can_be_blamed() -> None:
    bench = Bench()
    bench.submit(job("a"))
    told = bench.engine.admit()
    assert [type(event) for event in told] == [Started]
    bench.backend.decode = _crash  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="native"):
        bench.engine.step()


def _crash(rows: object) -> None:
    raise RuntimeError("native code failed")
