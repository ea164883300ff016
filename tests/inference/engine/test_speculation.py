from __future__ import annotations

from typing import Any

import pytest
from fakes.engine import Bench, job
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Delta, Finished, Job
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.engine.base import Sampled
from mongarsd.inference.engine.fake import FakeBackend, FakeSampler
from mongarsd.inference.engine.scheduler import Step
from mongarsd.inference.engine.sequence import Sequence
from mongarsd.inference.engine.speculation import LENGTHS, LONGEST_DRAFT, Speculation

QUOTE = "repeat the words of this line, all of the words of this line, and then all of it: | repeat the words"


def sequence(tokens: list[int], limit: int = 1000, name: str = "a") -> Sequence:
    return Sequence(job=Job(id=name, model="m"), tokens=tokens, prompt=len(tokens), limit=limit, arrived=0.0)


def quoting(name: str = "a", limit: int = 1000) -> Sequence:
    """It has repeated 30 of its tokens and is about to go on."""
    return sequence([*range(100), 999, *range(30)], limit, name)


def lengths(speculation: Speculation, *decoding: Sequence) -> list[int]:
    return [len(draft) for draft in speculation.drafts(decoding)]


def ready(costs: dict[int, float] | None = None) -> Speculation:
    """It has measured steps of one and of two streams, plain and with drafts (`costs` over plain)."""
    speculation = Speculation()
    for streams in (1, 2):
        speculation.observe(streams, 0, 0.01)
        for _ in range(30):
            for draft, cost in (costs or {}).items():
                speculation.observe(streams, draft, 0.01 * cost)
        speculation.observe(streams, 0, 0.01)
    return speculation


def grown(one: Sequence, speculation: Speculation, tokens: list[int]) -> Sequence:
    for token in tokens:
        speculation.drafts([one])
        one.tokens.append(token)
    return one


def test_a_quoting_stream_is_drafted_once_a_plain_step_was_measured() -> None:
    speculation = Speculation()
    one = grown(quoting(), speculation, list(range(30, 60)))
    assert lengths(speculation, one) == [0]
    speculation.observe(1, 0, 0.01)
    assert speculation.drafts([one]) == [list(range(60, 60 + LONGEST_DRAFT))]


@pytest.mark.parametrize(
    ("costs", "length"), [({3: 1.2, 7: 6.0}, 3), ({3: 2.0, 7: 2.1}, 7), ({3: 4.0, 7: 9.0}, 0), ({3: 1.0, 7: 1.0}, 7)]
)
def test_the_length_follows_what_steps_cost(costs: dict[int, float], length: int) -> None:
    speculation = ready(costs)
    assert lengths(speculation, grown(quoting(), speculation, list(range(30, 60)))) == [length]


def test_no_more_is_drafted_than_may_be_produced() -> None:
    speculation = ready()
    one = grown(quoting(), speculation, list(range(30, 60)))
    for room, length in ((9, 7), (8, 7), (7, 3), (4, 3), (3, 0), (1, 0)):
        one.limit = len(one.tokens) + room
        assert lengths(speculation, one) == [length]


def test_two_streams_only_together_and_three_not_at_all() -> None:
    speculation = ready()
    a = grown(quoting("a"), speculation, list(range(30, 60)))
    b = grown(quoting("b"), speculation, list(range(30, 60)))
    other = sequence(list(range(200)), name="c")
    assert lengths(speculation, a, b) == [7, 7]
    assert lengths(speculation, a, other) == [0, 0]
    assert lengths(speculation, a, b, other) == [0, 0, 0]
    assert lengths(speculation) == []


def test_wrong_drafts_end_drafting_and_right_guesses_begin_it_again() -> None:
    speculation = ready({3: 1.3, 7: 1.5})
    text = list(range(400))
    one = sequence([*text, 999, *text[:4]])
    assert lengths(speculation, one) != [0]
    for i in range(30):  # each time a match, each time another token than foretold
        grown(one, speculation, [1000 + i, *text[8 * i : 8 * i + 4]])
    assert lengths(speculation, one) == [0]
    grown(one, speculation, text[8 * 29 + 4 : 8 * 29 + 60])
    assert lengths(speculation, one) != [0]


def test_now_and_then_a_plain_step_is_measured_again() -> None:
    speculation = ready({3: 2.0, 7: 2.0})
    one = grown(quoting(), speculation, list(range(30, 60)))
    for _ in range(100):
        if lengths(speculation, one) == [0]:
            break
        speculation.observe(1, 7, 0.02)
    else:
        pytest.fail("no plain step in a hundred")
    speculation.observe(1, 0, 0.01)
    assert lengths(speculation, one) == [7]


def run(one: Job, *, on: bool) -> Bench:
    bench = Bench(slots=2, context=400, speculation=eager() if on else None)
    bench.run(one)
    return bench


def eager() -> Speculation:
    """Drafts cost nothing: as many are made as can be."""
    return ready(dict.fromkeys(LENGTHS, 1.0))


def without_times(bench: Bench) -> tuple[Any, ...]:
    end = bench.finished("a")
    deltas = [e for e in bench.events["a"] if isinstance(e, Delta)]
    logprobs = tuple(p for d in deltas for p in d.logprobs)
    return bench.text("a"), bench.tokens("a"), logprobs, end.reason, end.usage, end.stop


def test_drafts_are_made_and_save_steps() -> None:
    one = job("a", QUOTE, max_tokens=200)
    plain, drafted = run(one, on=False), run(one, on=True)
    assert without_times(plain) == without_times(drafted)
    timings = drafted.finished("a").timings
    assert timings.drafted > timings.accepted > 50
    assert timings.decode < 0.7 * plain.finished("a").timings.decode
    assert plain.finished("a").timings.drafted == 0


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.sampled_from(["all of the words ", "of this line ", "| ", "the words "]), min_size=1, max_size=8),
    max_tokens=st.none() | st.integers(0, 120),
    temperature=st.sampled_from([0.0, 0.7]),
    seed=st.integers(0, 5),
    stop=st.sampled_from([(), ("of",), ("s l", "xyz"), ("words of this",), ("ne",)]),
    ignore=st.booleans(),
    logprobs=st.sampled_from([None, 0, 2]),
)
@pytest.mark.slow
def test_the_answer_is_the_same_as_without(
    words: list[str],
    max_tokens: int | None,
    temperature: float,
    seed: int,
    stop: tuple[str, ...],
    ignore: bool,
    logprobs: int | None,
) -> None:
    sampling = Sampling(temperature=temperature, seed=seed, ignore_eos=ignore)
    one = Job(
        id="a",
        model="m",
        text="".join(words),
        max_tokens=max_tokens,
        sampling=sampling,
        stop=stop,
        logprobs=logprobs,
    )
    assert without_times(run(one, on=True)) == without_times(run(one, on=False))


def test_after_a_draft_the_cache_holds_just_what_was_said() -> None:
    bench = run(job("a", QUOTE, max_tokens=60), on=True)
    again = QUOTE + bench.text("a") + " more"
    bench.run(job("b", again, max_tokens=30))
    assert bench.started("b").cached >= len(QUOTE) + 50
    alone = Bench(slots=2, context=400)
    alone.run(job("b", again, max_tokens=30))
    assert bench.text("b") == alone.text("b")


def test_the_rate_counts_tokens_not_rows() -> None:
    speculation = eager()
    bench = Bench(slots=2, context=400, speculation=speculation)
    one, other = sequence([1, 2, 3], name="a"), sequence([4, 5, 6], name="b")
    step = Step([], decoding=2, prefill=0, draft=7)
    bench.scheduler.commit(step, 0.04, decoded=16)
    assert bench.scheduler.decode_rate == pytest.approx(400)
    assert bench.scheduler.step == pytest.approx(0.005)
    assert bench.scheduler.pacer.decode_step == 0.0
    assert lengths(speculation, one, other) == [0, 0]


class Losing(FakeBackend):
    """The sampler of job "a" cannot follow its grammar beyond `most` tokens."""

    most = 0

    def sampler(self, job: Job, prompt: Any, constraint: Any = None) -> FakeSampler:
        sampler = super().sampler(job, prompt, constraint)
        return LosingSampler(self, job, len(prompt)) if job.id == "a" else sampler


class LosingSampler(FakeSampler):
    def sample(self, row: int, output: int = 0) -> Sampled:
        if self._length >= len(QUOTE) + Losing.most:
            raise BadRequest("grammar: the answer can be read in too many ways", param="grammar")
        return super().sample(row, output)


@pytest.mark.parametrize("most", range(30, 50))
def test_a_grammar_that_ends_within_a_draft_fails_its_own_job_alone(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Some of these are the first output of a step, most a later one."""
    monkeypatch.setattr(Losing, "most", most)
    whole = run(job("a", QUOTE, max_tokens=100), on=True).tokens("a")
    bench = Bench(slots=2, context=400, speculation=eager())
    bench.backend.__class__ = Losing
    bench.run(job("a", QUOTE, max_tokens=100))
    assert bench.error("a") == "invalid_request"
    said = bench.tokens("a")
    assert said == whole[: len(said)]
    assert len(said) <= most
    assert not any(isinstance(event, Finished) for event in bench.events["a"])
    alone = Bench(slots=2, context=400)
    for one in (bench, alone):
        one.run(job("b", QUOTE + " and", max_tokens=30))
    assert bench.text("b") == alone.text("b"), "the slot is free, and holds what it says"
