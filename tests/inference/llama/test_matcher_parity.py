"""The matcher of grammars in Python, against llama.cpp's own grammar: token by token the same fit."""

from __future__ import annotations

import codecs
import ctypes
import math
from random import Random

import pytest
from fakes.grammar_walk import walk
from fakes.grammars import GRAMMARS, LETTERS
from fakes.tiny_gguf import IM_END
from fakes.tool_schemas import SCHEMAS
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.gbnf import parse
from mongarsd.inference.grammar.matcher import Matcher
from mongarsd.inference.grammar.schema import compile_schema
from mongarsd.inference.llama.backend import LlamaBackend
from mongarsd.inference.llama.library import load_library

#: Bytes that letters of the grammars have, and some that they have not; each is the token of its number.
BYTES = sorted({*"".join(LETTERS).encode(), *b'x"{', 0xC2, 0xE1, 0xF0})


class Native:
    """llama.cpp's grammar over the tiny model's vocabulary, where a byte is a token."""

    def __init__(self, backend: LlamaBackend, grammar: str) -> None:
        self._lib = load_library()
        self._grammar = self._lib.llama_sampler_init_grammar(backend._vocabulary.handle, grammar.encode(), b"root")
        assume(self._grammar)  # it refuses some loops of nothing

    def fits(self, tokens: list[int]) -> list[bool]:
        lib = self._lib
        several = (lib.llama_token_data * len(tokens))(*((token, 1.0, 0.0) for token in tokens))
        view = lib.llama_token_data_array(data=several, size=len(tokens), selected=-1, sorted=False)
        lib.llama_sampler_apply(self._grammar, ctypes.byref(view))
        return [one.logit != -math.inf for one in several]

    def accept(self, token: int) -> None:
        self._lib.llama_sampler_accept(self._grammar, token)

    def close(self) -> None:
        self._lib.llama_sampler_free(self._grammar)


def begins(text: bytes) -> bool:
    """May it go on as UTF-8? llama.cpp looks at that less closely than the matcher."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text)
    except UnicodeDecodeError:
        return False
    return True


def compare(backend: LlamaBackend, grammar: str, text: bytes, extra: list[int]) -> int:
    """How many bytes of the text fit."""
    matcher, native = Matcher(grammar), Native(backend, grammar)
    state, tokens = matcher.start, [*extra, IM_END]
    try:
        for count, byte in enumerate(text):
            matcher.begin()
            mine = [matcher.accept(state, bytes((token,))) is not None for token in extra]
            theirs = native.fits(tokens)
            right = [
                begins(text[:count] + bytes((token,))) and fits for token, fits in zip(extra, theirs, strict=False)
            ]
            assert mine == right, (grammar, text[:count])
            if not state.begun:
                assert matcher.ended(state) == theirs[-1], (grammar, text[:count])
            after = matcher.accept(state, bytes((byte,)))
            if after is None:
                return count
            native.accept(byte)
            state = after
        return len(text)
    except BadRequest:  # the ambiguity that `check` did not find: llama.cpp would take seconds
        reject()
    finally:
        native.close()


@given(GRAMMARS, st.text(LETTERS, max_size=8), st.integers())
@settings(max_examples=150, deadline=None)
def test_random_grammars(tiny: LlamaBackend, grammar: str, text: str, seed: int) -> None:
    compare(tiny, grammar, text.encode(), BYTES)
    right = walk(parse(grammar), Random(seed), 60).encode()
    followed = compare(tiny, grammar, right, BYTES)
    # A set that excludes a letter takes no first byte of it, which others begin with too.
    assert followed == len(right) or "[^" in grammar


@pytest.mark.parametrize("name", SCHEMAS)
@given(seed=st.integers())
@settings(max_examples=3, deadline=None)
def test_schemas(tiny: LlamaBackend, name: str, seed: int) -> None:
    grammar = compile_schema(SCHEMAS[name])
    text = walk(parse(grammar), Random(seed)).encode()[:150]
    assert compare(tiny, grammar, text, [*range(1, 0xC2), *BYTES]) == len(text)
