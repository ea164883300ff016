from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mongarsd.memory.recall import words
from mongarsd.memory.recall.commands import Command, command
from mongarsd.memory.recall.fusion import FRESH, HALF_LIFE, freshness, fuse

NOW = 1_700_000_000.0
ranking = st.lists(st.integers(0, 30), unique=True, max_size=20)
rankings = st.tuples(ranking, ranking)


def old(*keys: int) -> dict[int, float]:
    return dict.fromkeys(keys, 0.0)


def test_first_in_both_and_new_is_1() -> None:
    assert fuse([1, 2], [1, 2], {1: NOW, 2: 0.0}, NOW)[0] == (1, pytest.approx(1.0))


@pytest.mark.parametrize(("words_found", "meaning_found"), [([1], None), (None, [1])])
def test_without_the_other_ranking_first_in_one_is_1(
    words_found: list[int] | None, meaning_found: list[int] | None
) -> None:
    assert fuse(words_found, meaning_found, {1: NOW}, NOW) == [(1, pytest.approx(1.0))]


def test_being_in_both_rankings_beats_being_first_in_one() -> None:
    assert fuse([1, 2], [3, 2], old(1, 2, 3), NOW)[0][0] == 2


def test_what_meaning_finds_first_beats_what_both_find_late() -> None:
    late = list(range(100, 120))
    found = fuse([*late, 2], [1, *range(200, 220), 2], old(1, 2, *late, *range(200, 220)), NOW)
    assert found[0][0] == 1


def test_what_has_no_vector_yet_loses_nothing_by_it() -> None:
    assert fuse([1], [2], old(1, 2), NOW)[0][0] == 2
    assert [key for key, _ in fuse([1], [2], old(1, 2), NOW, unknown={1})] == [1, 2]


def test_time_decides_between_equals_and_not_more() -> None:
    times = {1: NOW - 10 * HALF_LIFE, 2: NOW}
    assert [key for key, _ in fuse([1, 2], None, times, NOW)] == [2, 1]
    assert fuse([1, *range(10, 40), 2], None, times | old(*range(10, 40)), NOW)[0][0] == 1


def test_the_half_life_is_one() -> None:
    assert freshness(HALF_LIFE) == 0.5
    assert freshness(-5.0) == freshness(0.0) == 1.0


@given(rankings, st.dictionaries(st.integers(0, 30), st.floats(0, 2 * NOW)))
def test_any_rankings_give_each_known_id_once_and_scores_in_order(
    given_rankings: tuple[list[int], list[int]], times: dict[int, float]
) -> None:
    found = fuse(*given_rankings, times, NOW)
    assert {key for key, _ in found} == {key for ranking in given_rankings for key in ranking} & times.keys()
    assert len({key for key, _ in found}) == len(found)
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 + 1e-9 for score in scores)


@given(rankings, st.sampled_from([0, 1]))
def test_one_that_rises_in_a_ranking_never_falls_in_the_result(
    given_rankings: tuple[list[int], list[int]], which: int
) -> None:
    changed = given_rankings[which]
    times = old(*(key for one in given_rankings for key in one))
    if len(changed) < 2:
        return
    before = [key for key, _ in fuse(*given_rankings, times, NOW)].index(changed[-1])
    risen = [changed[-1], *changed[:-1]]
    words_found, meaning_found = (risen, given_rankings[1]) if which == 0 else (given_rankings[0], risen)
    after = [key for key, _ in fuse(words_found, meaning_found, times, NOW)]
    assert after.index(changed[-1]) <= before
    assert FRESH < 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is the name of my cat?", ["name", "cat"]),
        ("Wie heißt meine Katze", ["heißt", "katze"]),
        ("Où est la clé", ["clé"]),
        ("where is it", ["where", "is", "it"]),
        ('"NEAR(a" * OR', ["near"]),
        ("cat CAT Cat", ["cat"]),
        ("", []),
        ("?!", []),
    ],
)
def test_words_of_a_question(text: str, expected: list[str]) -> None:
    assert words.words(text) == expected


def test_a_query_is_quoted_words() -> None:
    assert words.query(["near", "cat"]) == '"near" OR "cat"'
    assert words.query([]) == ""


@pytest.mark.parametrize(
    ("frequencies", "expected"),
    [
        ({}, ""),
        ({"cat": 3, "mia": 1}, '"mia" OR "cat"'),
        ({"name": 9000, "cat": 8000}, '("cat" AND "name")'),
        ({"name": 9000}, '("name")'),
        ({"name": 9000, "mia": 10}, '"mia"'),
        ({"name": 9000, "mia": 1999, "cat": 8000, "is": 7000}, '"mia" OR ("is" AND "cat")'),
    ],
)
def test_common_words_count_only_together(frequencies: dict[str, int], expected: str) -> None:
    assert words.narrowed(frequencies) == expected


@given(st.text())
@example("0\u03000")  # words end at a mark that belongs to no letter
def test_no_text_gives_more_than_words(text: str) -> None:
    found = words.words(text)
    assert len(found) <= words.MAX_WORDS
    assert all('"' not in word and "\0" not in word for word in found)
    assert words.share(found, text) == (1.0 if found else 0.0)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Remember that my cat is called Mia.", ("remember", "my cat is called Mia.")),
        ("please remember: milk on Friday", ("remember", "milk on Friday")),
        ("Bitte merk dir, dass ich Tee mag", ("remember", "ich Tee mag")),
        ("Retiens que j'aime le thé", ("remember", "j'aime le thé")),
        ("Forget my address", ("forget", "my address")),
        ("forget about the cat", ("forget", "the cat")),
        ("Vergiss meine Adresse", ("forget", "meine Adresse")),
        ("Oublie mon adresse", ("forget", "mon adresse")),
    ],
)
def test_orders(message: str, expected: tuple[str, str]) -> None:
    assert command(message) == Command(*expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        "Do you remember that my cat is called Mia?",
        "remember",
        "Remember that?",
        "Remember that my cat is called Mia?",
        "I forget my address",
        "forget it",
        "Forget everything",
        "She said: remember that",
        "Remember that this\nis a long text",
        "remember that " + "x" * 1000,
        "",
    ],
)
def test_no_orders(message: str) -> None:
    assert command(message) is None


@given(st.text())
def test_any_message_is_decided(message: str) -> None:
    found = command(message)
    assert found is None or found.text
