"""The samplers in numpy, one by one, on logits whose outcome is known."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.tiny_decoder import WORDS, write_decoder

from mongarsd.ground.job import Job
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.onnx.sampler import NumpySampler
from mongarsd.inference.onnx.vocabulary import HubVocabulary

CHANCES = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
#: Off, but for what a test names.
OFF: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> HubVocabulary:
    folder = tmp_path_factory.mktemp("m")
    write_decoder(folder)
    return HubVocabulary(str(folder / "tokenizer.json"), [1], bos="", eos="<|im_end|>")


def logits() -> np.ndarray[Any, Any]:
    """Tokens 10 to 14 have CHANCES, all others nothing."""
    table = np.full(len(WORDS), -40.0, np.float32)
    table[10:15] = np.log(CHANCES)
    return table


def sampler(
    vocabulary: HubVocabulary, produced: tuple[int, ...] = (), prompt: tuple[int, ...] = (), **fields: Any
) -> NumpySampler:
    job = Job(id="a", model="m", text="x", sampling=Sampling(**{**OFF, **fields}), produced=produced)
    return NumpySampler(job, prompt, 100, vocabulary, lambda row, output: logits())


def draws(made: NumpySampler, count: int) -> list[int]:
    return [made.sample(0).token for _ in range(count)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, CHANCES),
        ({"temperature": 0.5}, CHANCES**2),
        ({"top_k": 2}, [0.4, 0.3]),
        ({"top_k": -1}, CHANCES),
        ({"top_p": 0.8}, [0.4, 0.3, 0.15]),
        ({"min_p": 0.3}, [0.4, 0.3, 0.15]),
        ({"top_k": 4, "top_p": 0.5}, [0.4, 0.3]),
        ({"min_p": 0.9, "min_keep": 3}, [0.4, 0.3, 0.15]),
        ({"logit_bias": ((10, -math.inf),)}, [0, 0.3, 0.15, 0.1, 0.05]),
        ({"xtc_probability": 1.0, "xtc_threshold": 0.2}, [0, 0.3, 0.15, 0.1, 0.05]),
        ({"top_n_sigma": 0.01}, [1.0]),
    ],
)
def test_what_is_drawn_follows_what_the_filters_leave(
    vocabulary: HubVocabulary, fields: dict[str, Any], expected: Any
) -> None:
    count = 4000
    seen = Counter(draws(sampler(vocabulary, seed=3, **fields), count))
    wanted = np.array([*expected, *[0.0] * (5 - len(expected))])
    wanted /= wanted.sum()
    found = [seen[10 + index] / count for index in range(5)]
    assert found == pytest.approx(list(wanted), abs=5 * math.sqrt(0.25 / count))
    assert all(found[index] == 0 for index in range(5) if wanted[index] == 0)


def test_penalties_count_what_was_said_and_what_stands_in_the_prompt(vocabulary: HubVocabulary) -> None:
    fields = {"temperature": 0.0, "frequency_penalty": 1.0}
    assert draws(sampler(vocabulary, **fields), 4) == [10, 11, 12, 10]
    assert draws(sampler(vocabulary, prompt=(10, 10), **fields), 1) == [11]
    assert draws(sampler(vocabulary, prompt=(10,), repeat_last_n=0, **fields), 1) == [10]


def test_a_resumed_sampler_draws_the_numbers_it_would_have_had(vocabulary: HubVocabulary) -> None:
    whole = draws(sampler(vocabulary, seed=9, presence_penalty=0.5), 50)
    assert draws(sampler(vocabulary, tuple(whole[:20]), seed=9, presence_penalty=0.5), 30) == whole[20:]
    assert draws(sampler(vocabulary, seed=10, presence_penalty=0.5), 50) != whole


def test_end_tokens_never_come_when_they_are_ignored(vocabulary: HubVocabulary) -> None:
    banned = sampler(vocabulary, temperature=0.0, ignore_eos=True, logit_bias=((1, 100.0),))
    assert draws(banned, 1) == [10]


def test_letters_and_bytes(vocabulary: HubVocabulary, tmp_path: Path) -> None:
    assert [vocabulary.piece(WORDS.index(word)) for word in ("a", " ", "\n", "<|im_end|>")] == [b"a", b" ", b"\n", b""]
    assert vocabulary.tokenize("a<|im_end|>", special=True) == [WORDS.index("a"), 1]
    assert 1 not in vocabulary.tokenize("a<|im_end|>", special=False)
    assert vocabulary.ends == {1}
