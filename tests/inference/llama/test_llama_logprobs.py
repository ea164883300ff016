from __future__ import annotations

import math

import pytest
from fakes.generate import generate, job

from mongarsd.ground.job import MAX_TOP_LOGPROBS
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.engine.base import Row
from mongarsd.inference.llama.backend import LlamaBackend


def log_softmax(backend: LlamaBackend, text: str) -> list[float]:
    backend.trim(0, 0)
    backend.decode([Row(0, 0, backend.prompt(job(text=text)).tokens, True)])
    context = backend._context
    logits = context._lib.llama_get_logits_ith(context.handle, context.output(0))[: backend.info.vocabulary]
    top = max(logits)
    normalizer = top + math.log(sum(math.exp(logit - top) for logit in logits))
    return [logit - normalizer for logit in logits]


@pytest.mark.parametrize("count", [0, 1, 5, MAX_TOP_LOGPROBS])
def test_they_are_the_models_before_sampling(tiny: LlamaBackend, count: int) -> None:
    expected = log_softmax(tiny, "hello")
    sampling = Sampling(temperature=3.0, seed=5, logit_bias=((33, 100.0),))
    (choice,) = generate(tiny, job(text="hello", sampling=sampling, logprobs=count), 1)
    assert choice.token == 33
    assert choice.logprob
    assert (choice.logprob.token, choice.logprob.piece) == (33, b"!")
    assert choice.logprob.logprob == pytest.approx(expected[33], abs=1e-5)
    order = sorted(range(len(expected)), key=expected.__getitem__, reverse=True)[:count]
    assert [token for token, _, _ in choice.logprob.top] == order
    assert [logprob for _, _, logprob in choice.logprob.top] == pytest.approx([expected[t] for t in order], abs=1e-5)
    assert [piece for _, piece, _ in choice.logprob.top] == tiny.pieces(order)


def test_each_token_has_its_own(tiny: LlamaBackend) -> None:
    sampling = Sampling(temperature=0.0, ignore_eos=True)
    choices = generate(tiny, job(text="hello", sampling=sampling, logprobs=2), 5)
    assert len({choice.logprob for choice in choices}) == 5


def test_nobody_asked_nobody_gets_any(tiny: LlamaBackend) -> None:
    (choice,) = generate(tiny, job(text="hello", sampling=Sampling(ignore_eos=True)), 1)
    assert choice.logprob is None
