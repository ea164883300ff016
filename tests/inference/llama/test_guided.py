"""Answers bound by a grammar: the token chosen is the best of those that fit, looked for among few or among all."""

from __future__ import annotations

import math
from typing import Any

import pytest
from fakes.generate import generate, job, tokens
from fakes.tiny_gguf import IM_END, SPECIAL, TOKENS, USER_DEFINED, byte_names
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.ground.errors import BadRequest
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.grammar.constraint import Constraint
from mongarsd.inference.grammar.rules import literal
from mongarsd.inference.llama.backend import LlamaBackend

PIECES = {
    **{byte: bytes([byte]) for byte in range(1, len(byte_names()))},
    TOKENS.index("he"): b"he",
    **{TOKENS.index(name): name.encode() for name in USER_DEFINED},
}
WORDS = st.lists(
    st.text("hé€𝄞x<", max_size=6) | st.sampled_from(["hehe", "<think>", "<|im_end|>"]), min_size=1, max_size=4
)


def run(backend: LlamaBackend, grammar: str | None, count: int, *, produced: tuple[int, ...] = (), **fields: Any):
    sampling = Sampling(**{"temperature": 1.0, "seed": 1, **fields})
    constraint = Constraint(grammar) if grammar else None
    return tokens(
        generate(backend, job(text="hello", sampling=sampling, produced=produced), count, constraint=constraint)
    )


def one_of(words: list[str]) -> str:
    return f"root ::= {' | '.join(literal(word) for word in dict.fromkeys(words))}\n"


@given(words=WORDS, cut=st.integers(0, 30), greedy=st.booleans(), shift=st.floats(-2, 2))
@settings(max_examples=60, deadline=None)
def test_the_best_token_that_fits(tiny: LlamaBackend, words: list[str], cut: int, greedy: bool, shift: float) -> None:
    said = words[0].encode()[:cut]
    allowed = {
        token for token, piece in PIECES.items() if any(word.encode().startswith(said + piece) for word in words)
    }
    if said in (word.encode() for word in words):
        allowed.add(IM_END)
    forbidden = tuple((token, -math.inf) for token in range(len(TOKENS)) if token not in allowed)
    # Few candidates after the filters, and rarely one that fits: the others are looked for among all tokens.
    fields: dict[str, Any] = (
        {"temperature": 0.0} if greedy else {"top_k": 3, "top_p": 1.0, "min_p": 0.0, "temperature": 1e-6}
    )
    shifts = tuple((token, shift) for token in sorted(allowed)[::2])
    bound = run(tiny, one_of(words), 1, produced=tuple(said), logit_bias=shifts, **fields)
    assert bound == run(tiny, None, 1, produced=tuple(said), logit_bias=shifts + forbidden, **fields)


@given(words=WORDS, seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_the_text_is_one_of_the_grammar(tiny: LlamaBackend, words: list[str], seed: int) -> None:
    found = run(tiny, one_of(words), 40, seed=seed)
    assert b"".join(PIECES[token] for token in found).decode() in words


def test_a_token_that_stands_for_its_name(tiny: LlamaBackend) -> None:
    """A control token is its name only where it is a mark of the format."""
    start = TOKENS.index(SPECIAL[1])
    grammar = one_of([SPECIAL[1]])
    spelled = run(tiny, grammar, 40)
    assert b"".join(PIECES[token] for token in spelled).decode() == SPECIAL[1]
    sampling = Sampling(temperature=0.0, logit_bias=((start, 50.0),))
    marked = generate(
        tiny, job(text="hello", sampling=sampling), 3, constraint=Constraint(grammar, (), frozenset({start}))
    )
    assert tokens(marked) == [start]


def test_a_bias_that_forbids_all_that_fits_ends_the_answer(tiny: LlamaBackend) -> None:
    assert run(tiny, one_of(["x"]), 5, logit_bias=((ord("x"), -math.inf),)) == []


def test_what_was_produced_must_follow_the_grammar(tiny: LlamaBackend) -> None:
    with pytest.raises(BadRequest, match="do not follow"):
        run(tiny, one_of(["xx"]), 1, produced=(ord("h"),))


def test_what_came_with_the_text_waited_for_must_fit_and_is_tried_once(tiny: LlamaBackend) -> None:
    close = TOKENS.index("</think>")

    def bound(grammar: str, *produced: int) -> list[int]:
        constraint = Constraint(grammar, ("</thi",))
        asked = job(text="hello", sampling=Sampling(temperature=0.0), produced=(close, *produced))
        return tokens(generate(tiny, asked, 2, constraint=constraint))

    free = tokens(generate(tiny, job(text="hello", sampling=Sampling(temperature=0.0), produced=(close,)), 2))
    assert bound('root ::= "nk>xx"') == [ord("x")] * 2
    assert bound('root ::= "nk" "xx"') == free
    later = job(text="hello", sampling=Sampling(temperature=0.0), produced=(close, ord("y")))
    assert bound('root ::= "nk" "nk>y" "xx"', *b"y") == tokens(generate(tiny, later, 2))
