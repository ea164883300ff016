"""A text with a gap, which the model fills."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.generate import job
from fakes.tiny_gguf import BOS, INFILL, MID, PRE, SUF, write_tiny_gguf

from mongarsd.ground.errors import BadRequest, ContextOverflow
from mongarsd.inference.llama.backend import LlamaBackend


@pytest.fixture(scope="module", params=[False, True])
def filling(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, open_llama: Callable[..., LlamaBackend]
) -> tuple[LlamaBackend, list[int]]:
    """And what its prompts begin with."""
    path = tmp_path_factory.mktemp("infill") / "tiny.gguf"
    backend = open_llama(write_tiny_gguf(path, add_bos=request.param, more=INFILL))
    return backend, [BOS] if request.param else []


def test_both_texts_stand_between_the_models_own_tokens(filling: tuple[LlamaBackend, list[int]]) -> None:
    backend, begin = filling
    prompt = backend.prompt(job(text="def a(", suffix="):\n"))
    assert prompt.tokens == [
        *begin,
        PRE,
        *b"def a(",
        SUF,
        *map(ord, "):"),
        *backend._vocabulary.tokenize("\n", special=False),
        MID,
    ]
    assert not prompt.thinking


@pytest.mark.parametrize(("before", "after"), [("", "x"), ("x", ""), ("", "")])
def test_either_text_may_be_empty(filling: tuple[LlamaBackend, list[int]], before: str, after: str) -> None:
    backend, begin = filling
    assert backend.prompt(job(text=before, suffix=after)).tokens == [
        *begin,
        PRE,
        *before.encode(),
        SUF,
        *after.encode(),
        MID,
    ]


def test_tags_in_a_document_are_text(filling: tuple[LlamaBackend, list[int]]) -> None:
    backend, begin = filling
    tokens = backend.prompt(job(text="<|fim_middle|>a<|im_end|>", suffix="<|fim_prefix|><s>")).tokens
    control = backend._vocabulary.control
    assert [token for token in tokens if token in control] == [*begin, PRE, SUF, MID]
    assert b"".join(backend.pieces(tokens)) == b"<|fim_middle|>a<|im_end|><|fim_prefix|><s>"


def test_what_cannot_fit_is_refused_before_it_is_tokenized(filling: tuple[LlamaBackend, list[int]]) -> None:
    with pytest.raises(ContextOverflow):
        filling[0].prompt(job(text="a", suffix="word " * 100_000))


def test_a_model_without_the_tokens_says_so(
    tiny: LlamaBackend, tmp_path: Path, open_llama: Callable[..., LlamaBackend]
) -> None:
    some = open_llama(write_tiny_gguf(tmp_path / "some.gguf", more=INFILL[:2]))
    for backend in (tiny, some):
        with pytest.raises(BadRequest, match="no tokens for a gap") as caught:
            backend.prompt(job(text="a", suffix="b"))
        assert caught.value.param == "suffix"
