from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.inference.engine.pace import ALONE, BLOCK, FIRST, SMALLEST, Pacer


def simulate(pacer: Pacer, decoding: int, each: float, steps: int = 40) -> list[float]:
    """Steps of a board that takes `each` seconds a prompt token and 10 ms for decoding; seconds of each step."""
    seconds: list[float] = []
    for _ in range(steps):
        chunk = pacer.chunk(decoding)
        took = chunk * each + (0.01 if decoding else 0.0)
        pacer.observe(decoding=decoding, prefill=chunk, seconds=took)
        seconds.append(took)
    return seconds


def test_the_first_chunk_is_modest() -> None:
    assert Pacer(max_gap=0.25, batch=2048).chunk(0) <= FIRST


def test_the_chunk_grows_to_what_the_bound_allows_and_no_further() -> None:
    pacer = Pacer(max_gap=0.25, batch=2048)
    pacer.observe(decoding=4, prefill=0, seconds=0.01)
    seconds = simulate(pacer, decoding=4, each=0.001)
    assert max(seconds) <= 0.25
    assert seconds[-1] >= 0.15


def test_alone_it_fills_its_own_bound() -> None:
    seconds = simulate(Pacer(max_gap=0.25, batch=2048), decoding=0, each=0.002)
    assert max(seconds) <= ALONE
    assert seconds[-1] >= ALONE * 0.9


def test_a_slow_board_still_moves() -> None:
    pacer = Pacer(max_gap=0.05, batch=2048)
    simulate(pacer, decoding=3, each=0.1)
    assert SMALLEST - BLOCK < pacer.chunk(3) <= SMALLEST


def test_a_slowdown_is_noticed() -> None:
    pacer = Pacer(max_gap=0.25, batch=2048)
    simulate(pacer, decoding=4, each=0.0005)
    assert simulate(pacer, decoding=4, each=0.005)[-1] <= 0.25


@given(
    st.lists(st.tuples(st.integers(0, 16), st.integers(0, 2048), st.floats(0.0, 10.0)), max_size=30),
    st.integers(0, 64),
)
def test_any_history_gives_a_chunk_in_whole_blocks_that_fits_the_batch(
    history: list[tuple[int, int, float]], decoding: int
) -> None:
    pacer = Pacer(max_gap=0.25, batch=512)
    for rows, prefill, seconds in history:
        pacer.observe(decoding=rows, prefill=prefill, seconds=seconds)
    chunk = pacer.chunk(decoding)
    assert 0 < chunk <= 512
    assert (chunk + decoding) % BLOCK == 0
