from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.ground.job import Job
from mongarsd.inference.engine.portions import TILE, portions
from mongarsd.inference.engine.sequence import Sequence


def sequence(name: str, prompt: int, *, produced: int = 0, computed: int = 0) -> Sequence:
    job = Job(id=name, model="m")
    tokens = [0] * (prompt + produced)
    return Sequence(job=job, tokens=tokens, prompt=prompt, limit=9999, arrived=0.0, computed=computed)


def cut(filling: list[Sequence], budget: int) -> list[tuple[str, int]]:
    return [(s.id, count) for s, count in portions(filling, budget)]


def cut_through(one: Sequence, budgets: list[int]) -> list[int]:
    """The rows of one sequence over as many steps as it takes."""
    rows = []
    for budget in [*budgets, *[10_000] * 9]:
        for _, count in portions([one], budget):
            rows.append(count)
            one.computed += count
    assert one.pending == 0
    return rows


def test_a_prompt_is_cut_at_whole_tiles_and_its_rest_is_a_row_of_its_own() -> None:
    assert cut([sequence("a", 150)], 512) == [("a", 128), ("a", 22)]
    assert cut([sequence("a", 150)], 100) == [("a", 64)]


def test_what_was_decoded_once_comes_in_short_rows() -> None:
    assert cut([sequence("a", 70, produced=100)], 512) == [("a", 64), ("a", 6), ("a", 63), ("a", 37)]


def test_a_board_too_slow_for_a_tile_takes_what_it_can() -> None:
    assert cut([sequence("a", 150)], 16) == [("a", 16)]


def test_everybody_gets_a_tile_and_the_shortest_the_rest() -> None:
    rows = cut([sequence("long", 2000), sequence("middle", 900), sequence("short", 40)], 300)
    assert rows == [("long", 64), ("middle", 192), ("short", 40)]


def test_who_waited_longest_comes_first_when_there_is_not_enough_for_all() -> None:
    long, short = sequence("long", 2000), sequence("short", 40)
    long.turn = 1
    assert cut([long, short], 64) == [("short", 40)]
    short.turn = 2
    assert cut([long, short], 64) == [("long", 64)]


def test_nobody_waits_nothing_is_given() -> None:
    assert cut([], 512) == []


@given(st.integers(1, 400), st.integers(0, 200), st.lists(st.integers(TILE, 700), max_size=8))
def test_the_kernel_each_token_takes_does_not_depend_on_the_budgets(
    prompt: int, produced: int, budgets: list[int]
) -> None:
    """Tiled up to the last whole tile of the prompt, short rows after it."""
    position = 0
    for count in cut_through(sequence("a", prompt, produced=produced), budgets):
        end = position + count
        tiled = count >= TILE
        assert tiled == (end <= prompt // TILE * TILE)
        assert not position < prompt < end, "no row crosses the end of the prompt"
        position = end


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 100)), min_size=1, max_size=6),
    st.integers(4, 700),
)
def test_the_budget_is_kept_and_whoever_waited_longest_gets_something(
    sizes: list[tuple[int, int]], budget: int
) -> None:
    filling = [sequence(str(i), prompt, produced=produced) for i, (prompt, produced) in enumerate(sizes)]
    rows = portions(filling, budget)
    assert sum(count for _, count in rows) <= budget
    assert rows[0][0] is filling[0]
    assert all(count > 0 for _, count in rows)
    for one in filling:
        assert sum(count for s, count in rows if s is one) <= one.pending
