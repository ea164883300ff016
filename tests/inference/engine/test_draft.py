from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.inference.engine.draft import LONGEST, SHORTEST, Follower, NGramIndex

TOKENS = st.lists(st.integers(0, 3) | st.sampled_from([1 << 8, 1 << 16, 65_793]), max_size=60)


def indexed(tokens: list[int]) -> NGramIndex:
    index = NGramIndex()
    index.extend(tokens)
    return index


def test_the_latest_earlier_place_of_the_longest_match_is_found() -> None:
    tokens = list(b"one two three; one two four; one two ")
    place, n = indexed(tokens).find()
    assert (bytes(tokens[place : place + 4]), n) == (b"four", LONGEST)


def test_a_single_token_foretells_nothing() -> None:
    assert indexed([1, 2, 3, 1]).find() == (0, 0)
    assert indexed([]).find() == (0, 0)


@given(TOKENS)
def test_what_is_found_stood_there_before(tokens: list[int]) -> None:
    place, n = indexed(tokens).find()
    found = {
        m: [i + m for i in range(len(tokens) - m) if tokens[i : i + m] == tokens[-m:]]
        for m in range(SHORTEST, LONGEST + 1)
    }
    best = max((m for m in found if found[m]), default=0)
    assert n == best
    assert place == (found[best][-1] if best else 0)


def test_a_text_that_goes_in_circles_is_drafted_in_circles() -> None:
    follower = Follower()
    follower.follow([7, 8, 9, 7, 8, 9, 7, 8])
    assert follower.propose(7) == [9, 7, 8, 9, 7, 8, 9]


def test_nothing_is_proposed_for_what_never_stood_there() -> None:
    follower = Follower()
    follower.follow(list(range(50)))
    assert follower.propose(7) == []
    assert follower.chances(7) == []


def test_trust_grows_with_what_was_foretold_and_falls_with_what_was_not() -> None:
    follower, text = Follower(), list(range(100, 200))
    tokens = [*text, 1, *text[:4]]
    follower.follow(tokens)
    first = follower.chances(1)[0]
    for token in text[4:40]:
        tokens.append(token)
        follower.follow(tokens)
    assert follower.propose(3) == text[40:43]
    assert follower.chances(1)[0] > max(first, 0.9)
    tokens.append(5)
    follower.follow(tokens)
    assert follower.propose(3) == []


@given(TOKENS, st.lists(st.integers(1, 9), max_size=30))
def test_it_may_look_as_seldom_as_it_likes(tokens: list[int], steps: list[int]) -> None:
    follower, end = Follower(), 0
    for step in steps:
        end = min(end + step, len(tokens))
        follower.follow(tokens[:end])
        draft = follower.propose(7)
        assert len(draft) in (0, 7)
        assert all(0.0 < chance <= 1.0 for chance in follower.chances(7))
        assert set(draft) <= set(tokens[:end])
