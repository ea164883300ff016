from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from fakes.generate import generate, job, tokens
from fakes.tiny_gguf import IM_END
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.ground.errors import BadRequest
from mongarsd.ground.sampling import SAMPLER_ORDER, Sampling
from mongarsd.inference.engine.base import Row
from mongarsd.inference.engine.checks import MAX_SAMPLERS
from mongarsd.inference.llama.backend import LlamaBackend
from mongarsd.inference.llama.chain import usable_seed


def run(backend: LlamaBackend, count: int = 12, *, text: str = "hello", produced: tuple[int, ...] = (), **fields: Any):
    sampling = Sampling(**{"ignore_eos": True, **fields})
    return tokens(generate(backend, job(text=text, sampling=sampling, produced=produced), count))


def logits(backend: LlamaBackend, text: str = "hello") -> list[float]:
    prompt = backend.prompt(job(text=text)).tokens
    backend.trim(0, 0)
    backend.decode([Row(0, 0, prompt, True)])
    context = backend._context
    return list(context._lib.llama_get_logits_ith(context.handle, context.output(0))[: backend.info.vocabulary])


def best(values: list[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def test_temperature_zero_takes_the_greatest(tiny: LlamaBackend) -> None:
    values = logits(tiny)
    values[IM_END] = -math.inf
    assert run(tiny, 1, temperature=0.0) == [best(values)]
    assert run(tiny, temperature=0.0, seed=1) == run(tiny, temperature=0.0, seed=2, top_k=0, xtc_probability=1.0)


def test_a_bias_shifts_the_greedy_choice_too(tiny: LlamaBackend) -> None:
    first, second = sorted(range(256), key=logits(tiny).__getitem__, reverse=True)[:2]
    assert run(tiny, 1, temperature=0.0, logit_bias=((first, -math.inf),)) == [second]
    assert run(tiny, 1, temperature=0.0, logit_bias=((7, 1e30),)) == [7]
    assert run(tiny, 1, temperature=1.0, logit_bias=((7, 1e30), (8, -1e30))) == [7]


def test_ignore_eos_forbids_every_end(tiny: LlamaBackend) -> None:
    certain = ((IM_END, 100.0),)
    assert run(tiny, ignore_eos=False, logit_bias=certain) == []
    assert len(run(tiny, ignore_eos=True, logit_bias=certain)) == 12


def test_penalties_have_seen_the_prompt_and_apply_to_greedy(tiny: LlamaBackend) -> None:
    values = logits(tiny, "hello")
    for token in {*tiny.prompt(job(text="hello")).tokens}:
        values[token] -= 2.0 + 2.0 * (2 if token == ord("l") else 1)
    values[IM_END] = -math.inf
    assert run(tiny, 1, temperature=0.0, presence_penalty=2.0, frequency_penalty=2.0) == [best(values)]


def test_penalties_need_their_place_in_the_order(tiny: LlamaBackend) -> None:
    plain = run(tiny, 24, temperature=0.0)
    assert run(tiny, 24, temperature=0.0, presence_penalty=2.0) != plain
    assert run(tiny, 24, temperature=0.0, presence_penalty=2.0, samplers=("top_k",)) == plain
    assert run(tiny, 24, temperature=0.0, presence_penalty=2.0, repeat_last_n=0) == plain
    everything = run(tiny, 24, temperature=0.0, presence_penalty=2.0, repeat_last_n=-1)
    assert len(set(everything)) > len(set(plain))
    assert everything == run(tiny, 24, temperature=0.0, presence_penalty=2.0, repeat_last_n=1_000_000)


def test_dry_breaks_repetition_of_the_prompt(tiny: LlamaBackend) -> None:
    text = "abcdefgh abcdefg"
    forced = ((ord("h"), 8.0),)
    assert run(tiny, 1, text=text, temperature=0.0, logit_bias=forced) == [ord("h")]
    dry = {"dry_multiplier": 10.0, "dry_sequence_breakers": ()}
    assert run(tiny, 1, text=text, temperature=0.0, logit_bias=forced, **dry) != [ord("h")]
    assert run(tiny, 1, text=text, temperature=0.0, logit_bias=forced, **dry, dry_penalty_last_n=4) == [ord("h")]


def test_a_seed_decides(tiny: LlamaBackend) -> None:
    wide = {"temperature": 2.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    assert run(tiny, seed=1, **wide) == run(tiny, seed=1, **wide)
    assert run(tiny, seed=1, **wide) != run(tiny, seed=2, **wide)
    last = 2**32 - 1  # llama.cpp's word for a random seed
    assert run(tiny, seed=last, **wide) == run(tiny, seed=last, **wide)


@pytest.mark.parametrize("seed", [0, 2**32 - 1, 2**32, 2**40 + 5])
def test_seeds_are_never_the_random_one(seed: int) -> None:
    assert 0 <= usable_seed(seed) < 2**32 - 1


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 7, "temperature": 1.5, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
        {"seed": 8, "repeat_penalty": 1.3, "presence_penalty": 0.5, "temperature": 1.2},
        {"seed": 9, "dry_multiplier": 1.0, "dynatemp_range": 0.5},
        {"seed": 10, "top_n_sigma": 1.5, "typical_p": 0.9, "temperature": 2.0},
        {"temperature": 0.0, "frequency_penalty": 1.0},
    ],
)
def test_a_resumed_job_says_what_it_would_have_said(tiny: LlamaBackend, fields: dict[str, Any]) -> None:
    whole = run(tiny, 20, **fields)
    assert run(tiny, 11, produced=tuple(whole[:9]), **fields) == whole[9:]


@pytest.mark.parametrize("fields", [{"mirostat": 1}, {"mirostat": 2}, {"xtc_probability": 0.5, "xtc_threshold": 0.01}])
def test_a_resumed_job_with_hidden_state_goes_on_otherwise(tiny: LlamaBackend, fields: dict[str, Any]) -> None:
    wide = {"temperature": 2.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, **fields}
    whole = run(tiny, 20, **wide)
    resumed = run(tiny, 11, produced=tuple(whole[:9]), **wide)
    assert len(resumed) == 11
    assert resumed == run(tiny, 11, produced=tuple(whole[:9]), **wide)
    assert resumed != whole[:11]  # not the same numbers over again


def test_the_named_samplers_are_all_there_is(tiny: LlamaBackend) -> None:
    only = {"samplers": ("top_k",), "top_k": 1, "temperature": 5.0}
    values = logits(tiny)
    values[IM_END] = -math.inf
    assert run(tiny, 1, **only) == [best(values)]
    assert len(set(run(tiny, 40, samplers=(), temperature=0.1))) > 30  # neither filter nor temperature: nearly uniform


def test_top_k_keeps_k(tiny: LlamaBackend) -> None:
    values = logits(tiny)
    values[IM_END] = -math.inf
    three = set(sorted(range(len(values)), key=values.__getitem__, reverse=True)[:3])
    drawn = Counter(run(tiny, 1, top_k=3, top_p=1.0, min_p=0.0, temperature=5.0, seed=seed)[0] for seed in range(60))
    assert set(drawn) == three


def test_no_top_k_is_called_0_or_minus_1(tiny: LlamaBackend) -> None:
    wide = {"temperature": 5.0, "top_p": 1.0, "min_p": 0.0, "seed": 3}
    assert run(tiny, 40, top_k=-1, **wide) == run(tiny, 40, top_k=0, **wide) != run(tiny, 40, top_k=40, **wide)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"samplers": ("top_k", "magic")}, "samplers"),
        ({"samplers": ("infill",)}, "samplers"),
        ({"samplers": ("top_k",) * (MAX_SAMPLERS + 1)}, "samplers"),
        ({"logit_bias": ((262, 1.0),)}, "logit_bias"),
        ({"logit_bias": ((-1, 1.0),)}, "logit_bias"),
        ({"logit_bias": ((2**40, 1.0),)}, "logit_bias"),
        ({"logit_bias": ((1, math.nan),)}, "logit_bias"),
        ({"logit_bias": ((1, math.inf),)}, "logit_bias"),
        ({"top_k": -2}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"repeat_penalty": 0.0}, "repeat_penalty"),
        ({"mirostat": 3}, "mirostat"),
        ({"dry_sequence_breakers": ("",)}, "dry_sequence_breakers"),
    ],
)
def test_what_is_out_of_range_never_reaches_native_code(tiny: LlamaBackend, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        tiny.sampler(job(text="a", sampling=Sampling(**fields)), [1])
    assert caught.value.param == param


probability = st.floats(0.0, 1.0)
samplings = st.builds(
    Sampling,
    seed=st.integers(0, 2**32 - 1),
    temperature=st.floats(0.0, 10.0),
    dynatemp_range=st.floats(0.0, 10.0),
    dynatemp_exponent=st.floats(0.0, 100.0),
    top_k=st.integers(-1, 1_000_000),
    top_p=probability,
    min_p=probability,
    typical_p=probability,
    top_n_sigma=st.floats(-1.0, 100.0),
    xtc_probability=probability,
    xtc_threshold=probability,
    min_keep=st.integers(0, 1_000_000),
    repeat_penalty=st.floats(0.0, 10.0, exclude_min=True),
    repeat_last_n=st.integers(-1, 1_000_000),
    frequency_penalty=st.floats(-2.0, 2.0),
    presence_penalty=st.floats(-2.0, 2.0),
    dry_multiplier=st.floats(0.0, 100.0),
    dry_base=st.floats(1.0, 100.0),
    dry_allowed_length=st.integers(0, 1_000_000),
    dry_penalty_last_n=st.integers(-1, 1_000_000),
    dry_sequence_breakers=st.lists(st.text(min_size=1, max_size=64), max_size=4).map(tuple),
    mirostat=st.integers(0, 2),
    mirostat_tau=st.floats(0.0, 100.0),
    mirostat_eta=probability,
    logit_bias=st.lists(
        st.tuples(st.integers(0, 261), st.floats(allow_nan=False).filter(lambda bias: bias != math.inf)), max_size=5
    ).map(tuple),
    ignore_eos=st.booleans(),
    samplers=st.lists(st.sampled_from(SAMPLER_ORDER), max_size=12).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(samplings)
def test_whatever_is_in_range_gives_a_token(tiny: LlamaBackend, sampling: Sampling) -> None:
    drawn = tokens(generate(tiny, job(text="hello hello", sampling=sampling, produced=(1, 2, 1, 2)), 4))
    assert all(0 <= token < tiny.info.vocabulary for token in drawn)
