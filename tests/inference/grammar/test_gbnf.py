from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.check import check
from mongarsd.inference.grammar.gbnf import MAX_TEXT, Chars, Choice, Literal, Ref, Repeat, Sequence, parse


def test_the_notation() -> None:
    rules = parse('root ::= "a\\n" [^x-z\\]]{2,3} | b* # comment\nb ::= (\n  "c"\n  | .\n)?\n')
    assert rules == {
        "root": Choice(
            (
                Sequence((Literal("a\n"), Repeat(Chars((("x", "z"), ("]", "]")), negated=True), 2, 3))),
                Repeat(Ref("b"), 0, None),
            )
        ),
        "b": Repeat(Choice((Literal("c"), Chars((), negated=True))), 0, 1),
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no rule named root"),
        ('start ::= "a"', "no rule named root"),
        ("root ::= other", "not defined"),
        ("root ::= root", "begins with itself"),
        ('root ::= a? b\na ::= "x"\nb ::= c\nc ::= a* root', "begins with itself"),
        ('root ::= "(" root ")"', "no end"),
        ('root ::= "a"{100000}', "repetition"),
        ('root ::= ("a"{100}){100}', "repetitions of repetitions"),
        ('root ::= "a"{3,2}', "less than"),
        ("root ::= " + "(" * 100 + '"a"' + ")" * 100, "nested"),
        ('root ::= "a"' + "?" * 5000, "repetitions of repetitions"),
        ('root ::= "a', "ends inside"),
        ('root ::= ["a', "ends inside"),
        ("root ::= []", "empty set"),
        ("root ::= [z-a]", "range"),
        ('root ::= "\\q"', "escape"),
        ('root ::= "\\x0"', "hex"),
        ("root ::= <[1]>", "token references"),
        ('root ::= "a"\nroot ::= "b"', "twice"),
        ('root "a"', "expected ::="),
        ("root ::= " + '"' + "a" * MAX_TEXT + '"', "too many"),
        (
            "root ::= "
            + " ".join(f"r{i}" for i in range(1200))
            + "".join(f'\nr{i} ::= "a"{{900}}' for i in range(1200)),
            "elements",
        ),
    ],
)
def test_what_cannot_be_run_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why) as caught:
        check(text)
    assert caught.value.param == "grammar"


@given(st.text(alphabet='ab -:="[]()|*+?{},0123\n#\\.<>!rot', max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_grammar_or_refused(text: str) -> None:
    with contextlib.suppress(BadRequest):
        check("root ::= " + text)


def test_the_deepest_tree_is_no_deeper_than_python_goes() -> None:
    assert check("root ::= " + '("a" | ' * 63 + '"b"' + ')?{1}{1} "c"' * 63, forks=False)


CHARACTERS = st.characters(max_codepoint=40) | st.characters()
RANGES = st.lists(st.tuples(CHARACTERS, CHARACTERS).map(sorted).map(tuple), max_size=5)


@given(RANGES, st.booleans(), CHARACTERS, CHARACTERS)
@settings(max_examples=300)
def test_a_set_of_characters(ranges: list[tuple[str, str]], negated: bool, one: str, other: str) -> None:
    chars = Chars(tuple(ranges), negated)
    first, last = sorted((one, other))
    assert chars.holds(one) == (any(low <= one <= high for low, high in ranges) != negated)
    assert chars.meets(first, last) == (any(low <= last and first <= high for low, high in ranges) != negated)
    assert list(chars.edges) == sorted(set(chars.edges))
