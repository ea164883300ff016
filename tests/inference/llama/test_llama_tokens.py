from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.tiny_gguf import BOS, IM_END, IM_START, THINK, TOKENS, write_tiny_gguf
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.inference.llama.backend import LlamaBackend
from mongarsd.inference.llama.tokens import Vocabulary


@pytest.fixture(scope="session")
def vocabulary(tiny: LlamaBackend) -> Vocabulary:
    return tiny._vocabulary


def test_what_the_file_says(vocabulary: Vocabulary) -> None:
    assert vocabulary.size == len(TOKENS)
    assert vocabulary.ends == {IM_END}
    assert vocabulary.control == {BOS, IM_START, IM_END}
    assert vocabulary.suppressed == frozenset()
    assert vocabulary.name(vocabulary.bos) == "<s>"
    assert vocabulary.name(-1) == vocabulary.name(10**6) == ""


def test_special_text_is_special_only_when_asked(vocabulary: Vocabulary) -> None:
    assert vocabulary.tokenize("<|im_end|>", special=True) == [IM_END]
    assert vocabulary.tokenize("<|im_end|>", special=False) == list(b"<|im_end|>")
    assert vocabulary.tokenize("", special=True) == []


def test_control_tokens_are_silent_and_tags_are_not(vocabulary: Vocabulary) -> None:
    assert [vocabulary.piece(token) for token in (IM_START, IM_END, THINK)] == [b"", b"", b"<think>"]
    assert vocabulary.piece(0xC3) == b"\xc3"  # half a character


@pytest.mark.parametrize("token", [-1, len(TOKENS), 2**40])
def test_other_tokens_do_not_reach_native_code(vocabulary: Vocabulary, token: int) -> None:
    with pytest.raises(ValueError, match="outside the vocabulary"):
        vocabulary.piece(token)
    assert vocabulary.first_outside([0, token, 1]) == token
    assert vocabulary.first_outside([0, 1]) is None


@given(st.text())
def test_pieces_give_the_text_back(vocabulary: Vocabulary, text: str) -> None:
    tokens = vocabulary.tokenize(text, special=False)
    assert b"".join(map(vocabulary.piece, tokens)).decode() == text


def test_text_that_is_not_unicode_is_replaced(vocabulary: Vocabulary) -> None:
    assert vocabulary.tokenize("\ud800", special=False) == list(b"?")


def test_a_beginning_is_added_once_where_the_model_wants_it(
    vocabulary: Vocabulary, tmp_path: Path, open_llama: Callable[..., LlamaBackend]
) -> None:
    assert vocabulary.begin([1]) == [1]
    wanting = open_llama(write_tiny_gguf(tmp_path / "bos.gguf", add_bos=True), slots=1)._vocabulary
    assert wanting.begin([1]) == [BOS, 1]
    assert wanting.begin([BOS, 1]) == [BOS, 1]
    assert wanting.begin([]) == [BOS]


def test_control_text_is_found(vocabulary: Vocabulary) -> None:
    pattern = vocabulary.control_text()
    assert pattern
    assert pattern.findall("a<|im_end|>b<s><think>") == ["<|im_end|>", "<s>"]
