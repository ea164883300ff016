"""Answers of ONNX models bound by a grammar: the token chosen is the best of those that fit, few or all looked at."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import jsonschema
import numpy as np
import pytest
from fakes.tiny_decoder import SPECIAL, WORDS, write_decoder
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Job
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.grammar import matcher as module
from mongarsd.inference.grammar.constraint import Constraint
from mongarsd.inference.grammar.matcher import Matchers
from mongarsd.inference.grammar.rules import literal
from mongarsd.inference.grammar.schema import compile_schema
from mongarsd.inference.onnx import guided as tried
from mongarsd.inference.onnx.guided import Guided
from mongarsd.inference.onnx.sampler import NumpySampler
from mongarsd.inference.onnx.vocabulary import HubVocabulary

START, END = range(2)
TEXTS = st.lists(st.text('ab {"é:', max_size=6) | st.sampled_from(['{"a": "b"}', "true"]), min_size=1, max_size=4)
SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "maxLength": 12},
        "b": {"type": "array", "items": {"enum": [-1, 20, True, "é"]}, "maxItems": 4},
        "c": {"type": "number", "minimum": -5, "maximum": 300},
    },
    "required": ["a", "b", "c"],
    "additionalProperties": False,
}
SETTINGS: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 0.0, "repeat_penalty": 1.3},
    {"temperature": 1.0},
    {"temperature": 1.0, "top_k": 1},
    {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
    {"temperature": 0.9, "top_k": 3, "xtc_probability": 0.5},
]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> HubVocabulary:
    folder = tmp_path_factory.mktemp("m")
    write_decoder(folder)
    return HubVocabulary(str(folder / "tokenizer.json"), [END], bos="", eos="<|im_end|>")


def say(
    vocabulary: HubVocabulary,
    grammar: str | None,
    count: int,
    *,
    produced: Sequence[int] = (),
    marks: frozenset[int] = frozenset(),
    after: tuple[str, ...] = (),
    noise: int = 0,
    **fields: Any,
) -> list[int]:
    """Up to `count` tokens of a model whose logits are random, but depend on nothing but the place."""
    sampling = Sampling(**{"temperature": 1.0, "seed": 1, **fields})
    job = Job(id="a", model="m", text="x", sampling=sampling, produced=tuple(produced))
    guided = None
    if grammar is not None:
        guided = Guided(Constraint(grammar, after, marks), vocabulary, Matchers(1))
        guided.follow(produced)
    said = list(produced)

    def logits(row: int, output: int) -> Any:
        return np.random.default_rng([noise, len(said)]).normal(0, 3, vocabulary.size).astype(np.float32)

    sampler = NumpySampler(job, (), 1000, vocabulary, logits, guided)
    while len(said) < len(produced) + count and (token := sampler.sample(0).token) not in vocabulary.ends:
        said.append(token)
    return said[len(produced) :]


def text(vocabulary: HubVocabulary, tokens: Sequence[int]) -> str:
    return b"".join(map(vocabulary.piece, tokens)).decode(errors="replace")


def one_of(texts: Sequence[str]) -> str:
    return f"root ::= {' | '.join(literal(one) for one in dict.fromkeys(texts))}\n"


@pytest.fixture(params=[(tried.NARROW, 1), (-1, tried.LIKELY), (-1, 5)], ids=["narrow", "likely", "all"])
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three ways in which tokens that fit are found, of which a vocabulary this small would need but one."""
    narrow, likely = request.param
    monkeypatch.setattr(tried, "NARROW", narrow)
    monkeypatch.setattr(tried, "LIKELY", likely)


@given(texts=TEXTS, cut=st.integers(0, 12), fields=st.sampled_from(SETTINGS), noise=st.integers(0, 9))
@settings(max_examples=150, deadline=None)
@pytest.mark.usefixtures("ways")
def test_the_best_token_that_fits(
    vocabulary: HubVocabulary, texts: list[str], cut: int, fields: dict[str, Any], noise: int
) -> None:
    texts = [one for one in texts if len(one)]
    said = vocabulary.tokenize(texts[0], special=False)[:cut] if texts else []
    begun = b"".join(map(vocabulary.piece, said))
    if not texts or not texts[0].encode().startswith(begun):  # a letter that this vocabulary has not
        return
    allowed = {
        token
        for token in range(vocabulary.size)
        if (piece := vocabulary.piece(token)) and any(one.encode().startswith(begun + piece) for one in texts)
    }
    if begun in (one.encode() for one in texts):
        allowed.add(END)
    forbidden = tuple((token, -math.inf) for token in range(vocabulary.size) if token not in allowed)
    fields = {**fields, "noise": noise}
    bound = say(vocabulary, one_of(texts), 1, produced=said, **fields)
    if not allowed:
        assert bound == []
    elif fields["temperature"] == 0 or fields.get("top_k") == 1:
        assert bound == say(vocabulary, None, 1, produced=said, logit_bias=forbidden, **fields)
    else:
        assert set(bound) <= allowed


def test_the_best_that_fit_are_the_same_wherever_they_are_looked_for(
    vocabulary: HubVocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    guided = Guided(Constraint("root ::= [a-m0-9]*"), vocabulary, Matchers(1))
    for seed in range(20):
        logits = np.random.default_rng(seed).normal(0, 3, vocabulary.size).astype(np.float32)
        every = guided.best(logits, 256).tolist()
        assert len(every) == 13 + 10 + 1, "letters, digits and the end"
        monkeypatch.setattr(tried, "NARROW", -1)
        for likely in (1, 5, 30):
            monkeypatch.setattr(tried, "LIKELY", likely)
            some = guided.best(logits, 256).tolist()
            assert some
            assert some == every[: len(some)]
        monkeypatch.undo()


@pytest.mark.parametrize("fields", SETTINGS)
@pytest.mark.usefixtures("ways")
def test_answers_validate_and_a_resumed_one_goes_on(vocabulary: HubVocabulary, fields: dict[str, Any]) -> None:
    grammar = compile_schema(SCHEMA)
    for seed in range(6):
        whole = say(vocabulary, grammar, 300, seed=seed, noise=seed, **fields)
        assert len(whole) < 300
        jsonschema.validate(json.loads(text(vocabulary, whole)), SCHEMA)
        for cut in (1, len(whole) // 2, len(whole) - 1):
            rest = say(vocabulary, grammar, 300, produced=whole[:cut], seed=seed, noise=seed, **fields)
            assert whole[:cut] + rest == whole


def test_it_binds_from_where_the_texts_have_come(vocabulary: HubVocabulary) -> None:
    bound = say(vocabulary, one_of([": a", ": true"]), 400, after=("a", "e"), seed=4)
    found = text(vocabulary, bound)
    free = text(vocabulary, say(vocabulary, None, 400, seed=4, ignore_eos=True))
    before, _, rest = found.partition("a")
    middle, _, after = rest.partition("e")
    assert after in {": a", ": true"}
    assert free.startswith(f"{before}a{middle}e")
    cut = bound[:-2]
    assert cut + say(vocabulary, one_of([": a", ": true"]), 9, after=("a", "e"), seed=4, produced=cut) == bound


def test_a_token_that_says_more_than_the_text_waited_for(vocabulary: HubVocabulary) -> None:
    quoted = WORDS.index('": ')
    begun = Guided(Constraint('root ::= ": " "true"', ('"',)), vocabulary, Matchers(1))
    assert not begun.active
    assert begun.accept(quoted)
    assert begun.active
    assert [begun.fits(WORDS.index(word)) for word in ("true", "t", ":", '": ')] == [True, True, False, False]
    lost = Guided(Constraint('root ::= "true"', ('"',)), vocabulary, Matchers(1))
    assert lost.accept(quoted)
    for word in [*"true", '": ']:
        assert not lost.active, "what came after the text does not fit: nothing is bound"
        assert lost.accept(WORDS.index(word))
    assert {piece for _, piece in lost._matcher._pieces} <= {b": "}, "nor tried again"
    blank = Guided(Constraint('root ::= "true"', (":",)), vocabulary, Matchers(1))
    assert blank.accept(quoted)
    assert blank.active, "white space that came with the text does not count"
    assert blank.fits(WORDS.index("true"))


def test_a_token_that_stands_for_its_name(vocabulary: HubVocabulary) -> None:
    """A control token is its name only where it is a mark of the format."""
    grammar = one_of([f"a{SPECIAL[0]}", "ab"])
    letter = WORDS.index("a")
    bias = ((START, 50.0),)
    assert say(vocabulary, grammar, 9, produced=[letter], logit_bias=bias) == [WORDS.index("b")]
    assert say(vocabulary, grammar, 9, produced=[letter], logit_bias=bias, marks=frozenset({START})) == [START]
    assert say(vocabulary, grammar, 9, produced=[letter, START], marks=frozenset({START})) == []


def test_a_bias_that_forbids_all_that_fits_ends_the_answer(vocabulary: HubVocabulary) -> None:
    forbidden = ((WORDS.index("x"), -math.inf),)
    for fields in SETTINGS:
        assert say(vocabulary, one_of(["x"]), 5, logit_bias=forbidden, **fields) == []


def test_what_was_produced_must_follow_the_grammar(vocabulary: HubVocabulary) -> None:
    with pytest.raises(BadRequest, match="do not follow"):
        say(vocabulary, one_of(["xx"]), 1, produced=[WORDS.index("h")])


def test_a_grammar_that_takes_too_long_is_the_jobs_own_fault(
    vocabulary: HubVocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORK", "BURST"):
        monkeypatch.setattr(module, name, 2000)
    hidden = 'root ::= "' + "x" * 20 + '" ("a"{0,100} "a"{0,100}){0,100} "b"'
    with pytest.raises(BadRequest, match="too many ways"):
        say(vocabulary, hidden, 300, temperature=0.0, logit_bias=((WORDS.index("a"), 90.0),))
