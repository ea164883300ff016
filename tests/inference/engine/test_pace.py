from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.inference.engine.pace import ALONE, FIRST, LARGEST, SMALL, SMALLEST, Line, Pacer
from mongarsd.inference.engine.portions import TILE

GAP = 0.3


class Board:
    """Takes `each` seconds a prompt token, more behind a long context, less in large rows; 10 ms for decoding."""

    def __init__(self, each: float, per_position: float = 0.0) -> None:
        self.each, self.per_position = each, per_position

    def seconds(self, decoding: int, chunk: int, position: int) -> float:
        size = {0: 1.3, 1: 1.25}.get(chunk // TILE, 1.0)
        return chunk * (self.each + self.per_position * (position + chunk / 2)) * size + (0.01 if decoding else 0.0)


def prefill(pacer: Pacer, board: Board, decoding: int, tokens: int = 1500) -> list[float]:
    """Seconds of each step of one prompt."""
    steps: list[float] = []
    position = 0
    while position < tokens:
        chunk = min(pacer.chunk(decoding, position), tokens - position)
        seconds = board.seconds(decoding, chunk, position)
        pacer.observe(decoding=decoding, prefill=chunk, seconds=seconds, widest=chunk, position=position)
        steps.append(seconds)
        position += chunk
    return steps


def pacer() -> Pacer:
    made = Pacer(max_gap=GAP, batch=2048)
    made.observe(decoding=4, prefill=0, seconds=0.01)
    return made


def test_the_first_chunk_is_modest() -> None:
    assert Pacer(max_gap=GAP, batch=2048).chunk(0) == FIRST


@pytest.mark.parametrize("board", [Board(0.001), Board(0.0005, 1e-6), Board(0.003), Board(0.001, 2e-6)])
def test_the_bound_is_kept_and_used(board: Board) -> None:
    paced = pacer()
    prefill(paced, board, decoding=4)
    steps = prefill(paced, board, decoding=4)
    assert max(steps) <= GAP * 1.1
    assert sum(steps) / len(steps) >= GAP * 0.4


def test_a_long_context_makes_the_chunks_smaller_and_the_next_prompt_starts_large_again() -> None:
    paced, board = pacer(), Board(0.0005, 1e-6)
    prefill(paced, board, decoding=4)
    assert paced.chunk(4, 0) > paced.chunk(4, 1500) >= TILE


def test_alone_it_may_take_longer() -> None:
    paced, board = pacer(), Board(0.001)
    steps = prefill(paced, board, decoding=0, tokens=4000)
    assert GAP < max(steps) <= ALONE * 1.1
    assert paced.chunk(0) == LARGEST


def test_a_slow_board_still_moves() -> None:
    paced = pacer()
    prefill(paced, Board(0.1), decoding=4)
    assert paced.chunk(4, 100) == SMALLEST


def test_alone_a_slow_board_computes_whole_tiles_for_as_long_as_one_may_wait() -> None:
    for each, chunk in ((0.03, TILE), (0.1, SMALLEST)):
        paced = pacer()
        prefill(paced, Board(each), decoding=0, tokens=640)
        assert paced.chunk(0, 100) == chunk
        assert paced.chunk(1, 100) == SMALLEST


def test_a_slowdown_is_noticed() -> None:
    paced = pacer()
    prefill(paced, Board(0.0005), decoding=4)
    assert max(prefill(paced, Board(0.004), decoding=4)[-3:]) <= GAP * 1.1


@given(
    st.lists(
        st.tuples(st.integers(0, 16), st.integers(0, 2048), st.floats(0.0, 10.0), st.integers(0, 10**6)), max_size=30
    ),
    st.integers(0, 64),
    st.integers(0, 10**6),
)
def test_any_history_gives_a_chunk_of_a_usual_size(
    history: list[tuple[int, int, float, int]], decoding: int, position: int
) -> None:
    paced = Pacer(max_gap=GAP, batch=2048)
    for rows, tokens, seconds, start in history:
        paced.observe(decoding=rows, prefill=tokens, seconds=seconds, widest=tokens, position=start)
    chunk = paced.chunk(decoding, position)
    assert chunk in SMALL or (chunk % TILE == 0 and TILE <= chunk <= LARGEST)


def test_a_line_goes_through_its_points() -> None:
    line = Line()
    for x in range(0, 1000, 100):
        line.add(x, 2.0 + 0.01 * x)
    assert line.at(2000) == pytest.approx(22.0)
    assert line.at(0) == pytest.approx(2.0)


def test_a_line_through_one_point_is_level_and_never_falls() -> None:
    line = Line()
    line.add(100, 5.0)
    assert line.at(0) == line.at(900) == 5.0
    line.add(1000, 1.0)
    assert line.at(900) == line.at(0)
