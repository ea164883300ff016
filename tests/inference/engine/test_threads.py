from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.inference.engine.threads import DOWN_AFTER, UP_AFTER, UP_AT_MOST, LiveThreads

WINDOW = 0.25


def after(live: LiveThreads, seconds: float, others: float, window: float = WINDOW) -> int:
    """The decode threads after so long under a steady load."""
    for _ in range(round(seconds / window)):
        live.observe(window, others)
    return live.threads.decode


def two() -> LiveThreads:
    return LiveThreads(cores=2, decode=2, prefill=2)


def test_a_busy_process_takes_a_thread_within_a_second_and_gives_it_back_within_another() -> None:
    live = two()
    assert live.threads == (2, 2, "")
    assert after(live, 1.0, 1.0) == 1
    assert live.threads.prefill == 1
    assert live.threads.why == ("other programs keep 1.0 of 2 cores busy: more threads would wait for each other")
    assert after(live, 0.5, 0.05) == 1
    assert after(live, 0.5, 0.05) == 2
    assert live.threads.why == ""


def test_half_a_core_is_enough_beside_waiting_threads_and_a_client_is_not() -> None:
    assert after(two(), 1.0, 0.5) == 1
    assert after(two(), 9.0, 0.15) == 2


def test_a_spare_core_is_for_the_others() -> None:
    live = LiveThreads(cores=4, decode=3, prefill=4)
    assert after(live, 1.0, 1.0) == 3
    assert live.threads.prefill == 3
    assert after(live, 1.0, 2.0) == 2
    assert after(live, 1.0, 9.0) == 1


def test_one_slow_step_is_a_long_window() -> None:
    assert after(two(), 1.0, 1.0, window=1.0) == 1


def test_a_load_that_comes_and_goes_is_given_in_to() -> None:
    live = two()
    changes = 0
    before = 2
    for _ in range(20):
        for load, seconds in ((1.0, 1.0), (0.0, 2.0)):
            now = after(live, seconds, load)
            changes += now != before
            before = now
    assert changes < 8


@given(st.lists(st.tuples(st.floats(0.01, 3.0), st.floats(0.0, 20.0)), max_size=60), st.integers(1, 16), st.data())
def test_threads_stay_within_bounds_whatever_comes(
    windows: list[tuple[float, float]], cores: int, data: st.DataObject
) -> None:
    decode = data.draw(st.integers(1, cores))
    prefill = data.draw(st.integers(decode, cores))
    live = LiveThreads(cores=cores, decode=decode, prefill=prefill)
    for seconds, others in windows:
        threads = live.observe(seconds, others)
        assert 1 <= threads.decode <= decode
        assert threads.decode <= threads.prefill <= prefill
        assert bool(threads.why) == (threads[:2] != (decode, prefill))
    after(live, UP_AT_MOST + UP_AFTER, 0.0)
    assert live.threads == (decode, prefill, "")


@given(st.floats(0.0, 20.0), st.floats(0.0, DOWN_AFTER - 0.01), st.integers(2, 8))
def test_a_burst_changes_nothing(others: float, burst: float, cores: int) -> None:
    live = LiveThreads(cores=cores, decode=cores, prefill=cores)
    after(live, 5.0, 0.0)
    live.observe(burst, others)
    assert live.threads.decode == cores
    assert after(live, 1.0, 0.0) == cores


@given(st.floats(0.0, 4.0))
def test_a_steady_load_changes_the_threads_once(others: float) -> None:
    live = LiveThreads(cores=4, decode=4, prefill=4)
    settled = after(live, 2.0, others)
    assert {after(live, 1.0, others) for _ in range(30)} == {settled}
    assert settled <= max(1, 4 - others + 0.35)
