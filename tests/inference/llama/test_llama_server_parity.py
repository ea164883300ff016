"""On the real model: what llama-server says to the same prompt, token for token."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.generate import generate, job, tokens
from fakes.llama_server import Complete, llama_server

from mongarsd.ground.sampling import Sampling
from mongarsd.inference.llama.backend import LlamaBackend

pytestmark = pytest.mark.integration

#: How it was recorded is written in the file.
RECORDED = json.loads((Path(__file__).parent / "data" / "greedy.json").read_text())
#: Other processors round otherwise: where the recorded token is this close behind the best, either may win.
ROUNDING = 0.05
STORY = "<|im_start|>user\nTell me a story about a cat.<|im_end|>\n<|im_start|>assistant\n"
SAMPLED: list[dict[str, Any]] = [
    {"seed": 1},
    {"seed": 2, "temperature": 1.5, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
    {"seed": 3, "repeat_penalty": 1.3, "repeat_last_n": 128, "presence_penalty": 0.5},
    {"seed": 4, "dry_multiplier": 0.8, "dry_penalty_last_n": 1000, "temperature": 1.0},
    {"seed": 5, "xtc_probability": 0.5, "xtc_threshold": 0.05},
    {"seed": 6, "mirostat": 1},
    {"seed": 7, "mirostat": 2, "mirostat_tau": 3.0},
    {"seed": 8, "typical_p": 0.5, "top_k": 100},
    {"seed": 9, "top_n_sigma": 1.0, "temperature": 2.0},
    {"seed": 10, "dynatemp_range": 0.5, "dynatemp_exponent": 1.2},
    {"seed": 11, "samplers": ("temperature", "min_p"), "min_p": 0.1, "temperature": 1.3},
    {"seed": 12, "logit_bias": ((504, -100.0), (28, 2.5)), "ignore_eos": True},
    {"temperature": 0.0, "repeat_penalty": 1.2},
    {"temperature": 0.0, "dry_multiplier": 1.0, "dry_penalty_last_n": 2000},
    {"temperature": 0.0, "logit_bias": ((504, -3.0),)},
]


@pytest.fixture(scope="module")
def backend(default_model: Path, open_llama: Callable[..., LlamaBackend]) -> LlamaBackend:
    return open_llama(default_model, slots=1, context=4096)


@pytest.fixture(scope="module")
def complete(default_model: Path) -> Iterator[Complete]:
    binary = os.environ.get("MONGARSD_LLAMA_SERVER")
    if not binary:
        pytest.skip("name a llama-server of the same llama.cpp in $MONGARSD_LLAMA_SERVER to compare live")
    with llama_server(Path(binary), default_model) as running:
        yield running


def without_end(backend: LlamaBackend, answer: list[int]) -> list[int]:
    """llama-server returns the end token as well."""
    return answer[:-1] if answer and backend.is_end(answer[-1]) else answer


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: case["prompt"][:30])
def test_greedy_text_is_the_recorded_one(backend: LlamaBackend, default_model: Path, case: dict[str, Any]) -> None:
    with default_model.open("rb") as file:
        if f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" != RECORDED["model"]:
            pytest.skip("recorded with another file")
    greedy = job(text=case["prompt"], sampling=Sampling(temperature=0.0), logprobs=2)
    choices = generate(backend, greedy, 64)
    said, expected = tokens(choices), without_end(backend, case["tokens"])
    if said != expected:
        at = next((i for i, (a, b) in enumerate(zip(said, expected, strict=False)) if a != b), -1)
        assert at >= 0, "one is longer than the other"
        (best, _, first), (second, _, other) = choices[at].logprob.top
        assert (said[at], expected[at]) == (best, second), f"differs at token {at}"
        assert first - other < ROUNDING, f"differs at token {at}"


@pytest.mark.parametrize("prompt", [case["prompt"] for case in RECORDED["cases"]], ids=lambda prompt: prompt[:30])
def test_greedy_text_is_a_running_servers(backend: LlamaBackend, complete: Complete, prompt: str) -> None:
    expected = without_end(backend, complete(prompt=prompt, temperature=0, n_predict=64)["tokens"])
    assert tokens(generate(backend, job(text=prompt, sampling=Sampling(temperature=0.0)), 64)) == expected


@pytest.mark.parametrize("fields", SAMPLED, ids=str)
def test_every_sampler_draws_what_a_running_server_draws(
    backend: LlamaBackend, complete: Complete, fields: dict[str, Any]
) -> None:
    sampling = Sampling(**fields)
    body = {"temperature": sampling.temperature, **fields}
    expected = without_end(backend, complete(prompt=STORY, n_predict=40, **body)["tokens"])
    assert tokens(generate(backend, job(text=STORY, sampling=sampling), 40)) == expected


def test_logprobs_are_a_running_servers(backend: LlamaBackend, complete: Complete) -> None:
    greedy = job(text=STORY, sampling=Sampling(temperature=0.0), logprobs=4)
    theirs = complete(prompt=STORY, temperature=0, n_predict=8, n_probs=4)["completion_probabilities"]
    for ours, expected in zip(generate(backend, greedy, 8), theirs, strict=True):
        assert ours.logprob
        assert ours.logprob.logprob == pytest.approx(expected["logprob"], abs=1e-3)
        best = [(entry["id"], pytest.approx(entry["logprob"], abs=1e-3)) for entry in expected["top_logprobs"]]
        assert [(token, logprob) for token, _, logprob in ours.logprob.top] == best


@pytest.mark.parametrize("fields", [{"seed": 1}, {"seed": 3, "repeat_penalty": 1.3}, {"temperature": 0.0}], ids=str)
def test_a_resumed_text_is_the_undisturbed_one(backend: LlamaBackend, fields: dict[str, Any]) -> None:
    whole = job(text=STORY, sampling=Sampling(**fields))
    said = tokens(generate(backend, whole, 30))
    assert tokens(generate(backend, whole.resume(tuple(said[:13])), 17)) == said[13:]
