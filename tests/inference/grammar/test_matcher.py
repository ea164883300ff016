"""Grammars followed byte by byte. That llama.cpp follows them alike: tests/inference/llama/test_matcher_parity.py."""

from __future__ import annotations

import functools
import json
from random import Random

import jsonschema
import pytest
from fakes.grammar_walk import walk
from fakes.grammars import GRAMMARS, LETTERS
from fakes.tool_schemas import SCHEMAS
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar import matcher as module
from mongarsd.inference.grammar.check import check
from mongarsd.inference.grammar.gbnf import parse
from mongarsd.inference.grammar.matcher import KEPT, LASTING, LEAST, MEMORY, WORK, Matcher, Matchers
from mongarsd.inference.grammar.schema import compile_schema
from mongarsd.inference.grammar.words import Words

ALPHABET = '{}[]":, \\-.@+TZ_/0123456789abcdefghijklmnopqrstuvwxyzé漢'
FORMATS = jsonschema.Draft202012Validator.FORMAT_CHECKER


@functools.cache
def matcher_of(name: str) -> Matcher:
    return Matcher(compile_schema(SCHEMAS[name]))


def accepts(matcher: Matcher, text: str) -> bool:
    matcher.begin()
    state = matcher.accept(matcher.start, text.encode())
    return state is not None and matcher.ended(state)


@pytest.mark.parametrize(
    ("grammar", "right", "wrong"),
    [
        ('root ::= "é" [^"é]', ["éa", "éè"], ["é", "éé", 'é"', "éaa"]),
        ('root ::= [a-z]* "end"', ["end", "xenxend", "endend"], ["", "en", "endx"]),
        ('root ::= ("ab" | "a") "bc"?', ["ab", "a", "abbc", "abc"], ["bc", "abcb"]),
        ('root ::= "(" root ")" | "x"{2,3}', ["xx", "((xxx))"], ["x", "((xx)", "xxxx"]),
        ('root ::= ("a"? "b"?){2}', ["", "ab", "ba", "abab", "bb"], ["aaa", "baba"]),
        ("root ::= . .", ["ab", "𝄞\n"], ["a", "a\0"]),
    ],
)
def test_texts(grammar: str, right: list[str], wrong: list[str]) -> None:
    matcher = Matcher(grammar)
    assert [text for text in right if not accepts(matcher, text)] == []
    assert [text for text in wrong if accepts(matcher, text)] == []


def test_a_token_may_end_inside_a_character_that_fits() -> None:
    matcher = Matcher('root ::= [à-ï] "€"')
    half = matcher.accept(matcher.start, b"\xc3")
    assert half is not None
    assert not matcher.ended(half)
    assert matcher.accept(half, b"\xb0") is None, "ð"
    assert matcher.accept(half, b"a") is None, "no UTF-8"
    rest = matcher.accept(half, b"\xa9\xe2\x82")
    assert rest is not None
    end = matcher.accept(rest, b"\xac")
    assert end is not None
    assert matcher.ended(end)
    assert matcher.accept(rest, b"\xad") is None
    perhaps = Matcher('root ::= "a" [à-ï]?')
    begun = perhaps.accept(perhaps.start, b"a\xc3")
    assert begun is not None
    assert not perhaps.ended(begun), "the character must be whole"
    for wrong in (b"\xc2", b"\xc3\xc3", b"\xff", b"\xc0\xa9", b"\xc3\xa9\xe2\x83"):
        assert matcher.accept(matcher.start, wrong) is None


@given(GRAMMARS, st.integers(), st.lists(st.integers(1, 5), min_size=1))
@settings(max_examples=100, deadline=None)
def test_however_a_text_is_cut_into_tokens_it_leads_to_the_same_state(grammar: str, seed: int, cuts: list[int]) -> None:
    text = walk(parse(grammar), Random(seed), 60).encode()
    try:
        matcher = Matcher(grammar)
        whole = matcher.accept(matcher.start, text)
    except BadRequest:  # ambiguous, deeper than the check looks
        reject()
    assert whole is not None
    assert matcher.ended(whole)
    state, at = matcher.start, 0
    while at < len(text):
        matcher.begin()
        size = cuts[at % len(cuts)]
        after = matcher.step(state, text[at]) if size == 1 else matcher.follow(state, text[at : at + size])
        at += size
        if after is None:  # cut inside a character, before a set that excludes one that begins so
            assert "[^" in grammar
            return
        state = after
    assert state == whole


@pytest.mark.parametrize("name", SCHEMAS)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=5, deadline=None)
def test_what_is_spelled_letter_by_letter_validates(name: str, seed: int) -> None:
    """Any letter that fits, the likelier ones those that end something, until the text may end."""
    matcher, text, random = matcher_of(name), "", Random(seed)
    state = matcher.start
    for count in range(2000):
        matcher.begin()
        fits = [letter for letter in ALPHABET if matcher.accept(state, letter.encode()) is not None]
        if matcher.ended(state) and (not fits or random.random() < 0.5):
            break
        closing = [letter for letter in fits if letter in '"}],']
        text += random.choice(closing if closing and (count > 200 or random.random() < 0.4) else fits)
        after = matcher.accept(state, text[-1].encode())
        assert after is not None
        state = after
    assert matcher.ended(state), text
    jsonschema.validate(json.loads(text), SCHEMAS[name], format_checker=FORMATS)


@given(GRAMMARS, st.integers(), st.lists(st.text(LETTERS, max_size=4).map(str.encode), max_size=60), st.data())
@settings(max_examples=100, deadline=None)
def test_the_tokens_of_a_vocabulary_that_fit(grammar: str, seed: int, pieces: list[bytes], data: st.DataObject) -> None:
    pieces += [bytes((byte,)) for byte in range(256)]
    text = walk(parse(grammar), Random(seed), 40).encode()
    cut = data.draw(st.integers(0, len(text)))
    try:
        matcher, words = Matcher(grammar), Words(pieces)
        state = matcher.start
        for byte in text[:cut]:
            after = matcher.step(state, byte)
            assert after is not None
            state = after
        found = words.fitting(matcher, state)
        fits = [token for token, piece in enumerate(pieces) if piece and matcher.follow(state, piece) is not None]
    except BadRequest:  # ambiguous, deeper than the check looks
        reject()
    assert sorted(found) == fits


def test_what_is_remembered_is_bounded_and_may_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY", 300)
    matcher = Matcher('root ::= "[" (item ("," item){0,400})? "]"\nitem ::= [a-z]{0,20} | root\n')
    state = matcher.start
    for _ in range(3):
        for piece in (b"[", *[b"abc,"] * 120, b"[[x],y],z,"):
            after = matcher.accept(state, piece)
            assert after is not None
            state = after
            assert len(matcher._steps) + len(matcher._pieces) + len(matcher._stacks) < 600
    assert matcher.accept(state, b"]]]") is not None
    assert matcher.accept(state, b"]]]]") is None


def test_many_ways_at_once_count_in_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each state of this grammar is one of 2^100 sets of up to 100 stacks."""
    monkeypatch.setattr(module, "MEMORY", 1000)
    matcher, random = Matcher('root ::= [ab]* "a" [ab]{100}'), Random(1)
    state = matcher.start
    for _ in range(600):
        matcher.begin()
        after = matcher.step(state, random.choice(b"ab"))
        assert after is not None
        state = after
        kept = sum(len(one.stacks) for one in matcher._steps.values() if one)
        assert kept <= 8 * 1000 + len(state.stacks)
    assert len(state.stacks) > 30


def test_other_answers_wait_for_a_burst_of_work_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORK", "BURST"):
        monkeypatch.setattr(module, name, 2000)
    for name in ("LASTING", "LEAST"):
        monkeypatch.setattr(module, name, 40)

    def spell(grammar: str, letters: bytes) -> int:
        """How far, a byte a token."""
        matcher = Matcher(grammar)
        state = matcher.start
        for far, byte in enumerate(letters):
            matcher.begin()
            try:
                after = matcher.step(state, byte)
            except BadRequest:
                return far
            assert after is not None
            state = after
        return len(letters)

    random = Random(1)
    letters = bytes(random.choice(b"ab") for _ in range(600))
    assert 60 < spell('root ::= [ab]* "a" [ab]{200}', letters) < 300
    assert spell("root ::= [ab]{500,1000}", letters) == 600


def test_an_enumeration_of_thousands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each text is a way of its own until it is clear which one is meant."""
    for name in ("LASTING", "LEAST"):
        monkeypatch.setattr(module, name, 0)
    texts = [f"{'äöü xyz'[number % 7]}{number * 7919 % 4001}" for number in range(4000)]
    matcher = Matcher(compile_schema({"enum": texts}))
    words = Words([bytes((byte,)) for byte in range(256)] + [f"{number}".encode() for number in range(1000)])
    state = matcher.start
    for byte in f'"{texts[1234]}"'.encode():
        assert words.fitting(matcher, state)
        after = matcher.step(state, byte)
        assert after is not None
        state = after
    assert matcher.ended(state)


def test_deep_nesting_and_huge_repetitions_take_no_time_of_their_own() -> None:
    deep = Matcher('root ::= "(" root ")" | "x"')
    assert accepts(deep, "(" * 5000 + "x" + ")" * 5000)
    assert not accepts(deep, "(" * 5000 + "x" + ")" * 4999)
    many = Matcher("root ::= " + '("a"{1000} "b"{0,1000}) ' * 20)
    assert accepts(many, ("a" * 1000 + "b" * 7) * 20)
    assert not accepts(many, ("a" * 1000 + "b" * 7) * 19)


@pytest.mark.parametrize(
    "grammar",
    [
        "root ::= " + '"a"? ' * 2000,
        'root ::= "a" root "b" | "a" root "c" | "a"',
        'root ::= ("a"{0,1000} "a"{0,1000}){0,1000} "b"',
    ],
)
def test_what_can_be_read_in_too_many_ways_ends_in_an_error(grammar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` finds most of these before; whatever it does not find ends here."""
    with pytest.raises(BadRequest):
        check(grammar)
    for name in ("WORK", "BURST"):
        monkeypatch.setattr(module, name, 20_000)
    with pytest.raises(BadRequest, match="too many ways") as caught:
        accepts(Matcher(grammar), "a" * 5000)
    assert caught.value.param == "grammar"


class Answer:
    """Whatever a grammar binds."""


def test_answers_share_a_grammars_matcher_and_all_share_the_memory() -> None:
    matchers, one, other = Matchers(slots=2), Answer(), Answer()
    first = matchers.enter(one, 'root ::= "a"')
    assert matchers.enter(other, 'root ::= "a"') is first
    assert (matchers.bound, first.memory) == (2, (2 + KEPT) * MEMORY)
    second = matchers.enter(one, 'root ::= "b"')
    assert first.memory == second.memory == (2 + KEPT) * MEMORY // 2
    del other
    assert matchers.bound == 1


def test_what_other_grammars_need_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY", 100)
    matchers, answer = Matchers(slots=1), Answer()
    first = matchers.enter(answer, "root ::= [a-z]{0,1000}")
    state = first.start
    while len(first) <= 300:  # of 500, and 250 of them soon
        after = first.accept(state, b"a")
        assert after is not None
        state = after
    matchers.enter(answer, 'root ::= "b"')
    assert len(first) <= first.memory == 250
    assert first.accept(state, b"a") is not None


def test_only_a_few_grammars_are_kept_when_no_answer_needs_them() -> None:
    matchers, answer = Matchers(slots=1), Answer()
    grammars = [f'root ::= "{number}"' for number in range(KEPT + 3)]
    matchers.enter(answer, grammars[0])
    for grammar in (*grammars, *grammars[1:3] * 3):
        last = matchers.enter(answer, grammar)
    assert last.memory == (1 + KEPT) * MEMORY // KEPT


def test_the_more_answers_are_bound_the_less_each_may_take() -> None:
    assert [allowed(among) for among in (1, 2, 4, 8)] == [
        (WORK, LASTING),
        (WORK // 2, LASTING // 2),
        (WORK // 4, LASTING // 4),
        (module.BURST, LEAST),
    ]


def allowed(among: int) -> tuple[int, int]:
    """At first, and again and again."""
    matcher = Matcher('root ::= "a"')
    matcher.begin(among)
    most = matcher._stacks.left
    matcher._stacks.left = 0
    matcher.begin(among)
    return most, matcher._stacks.left
