from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mongarsd.inference.text.stops import Match, Stops

texts = st.text("ab<", max_size=14)
stop_lists = st.lists(st.text("ab<", min_size=1, max_size=4), max_size=4)


def first_match(stops: list[str], text: str) -> Match | None:
    """The rule, said naively."""
    for end in range(1, len(text) + 1):
        for start in range(end):
            if text[start:end] in stops:
                return Match(start, text[start:end])
    return None


@given(stop_lists, texts)
def test_the_match_that_is_complete_first_wins(stops: list[str], text: str) -> None:
    assert Stops(stops).find(text) == first_match(stops, text)


@given(stop_lists, texts)
def test_holds_the_longest_possible_beginning_and_no_more(stops: list[str], text: str) -> None:
    assume(Stops(stops).find(text) is None)
    beginnings = {stop[:size] for stop in stops for size in range(1, len(stop))}
    expected = next((len(text) - at for at in range(len(text)) if text[at:] in beginnings), 0)
    assert Stops(stops).hold(text) == expected


@pytest.mark.parametrize(
    ("stops", "text", "match"),
    [
        (["abc", "b"], "abc", Match(1, "b")),  # complete first
        (["bc", "abc"], "abc", Match(0, "abc")),  # same end: the one that starts earliest
        (["ab", "abc"], "abc", Match(0, "ab")),
        (["\n\n"], "a\n", None),
        ([], "a", None),
    ],
)
def test_examples(stops: list[str], text: str, match: Match | None) -> None:
    assert Stops(stops).find(text) == match


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        Stops(["a", ""])
