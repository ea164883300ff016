"""The log against a plain list, in every history: what it holds, what it forgot, and who is behind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mongarsd.api.ws.log import OVERHEAD, Log

MOST, LONGEST = 2000, 10.0
STEPS = st.lists(st.tuples(st.integers(0, 900), st.floats(0, 6)), max_size=60)


def kept(sizes: list[int], ats: list[float], now: float) -> int:
    """The number of the oldest that must be held, counted from 1."""
    first, held = len(sizes) + 1, 0
    for place in range(len(sizes) - 1, -1, -1):
        held += sizes[place] + OVERHEAD
        if ats[place] + LONGEST <= now or (held > MOST and place < len(sizes) - 1):
            break
        first = place + 1
    return first


@given(STEPS)
def test_it_holds_the_newest_within_its_bounds(steps: list[tuple[int, float]]) -> None:
    log, now = Log(MOST, LONGEST), 0.0
    sizes, ats = list[int](), list[float]()
    for size, pause in steps:
        now += pause
        log.append(b"%d" % len(sizes) + b"x" * size, now)
        sizes.append(len(b"%d" % len(sizes)) + size)
        ats.append(now)
        assert log.last == len(sizes)
        assert log.first == kept(sizes, ats, now)
        assert log.size <= max(MOST, sizes[-1] + OVERHEAD)
        for seq in range(len(sizes) + 2):
            frame = log.get(seq)
            assert (frame is not None) == (log.first <= seq <= log.last)
            assert frame is None or frame.rstrip(b"x") == b"%d" % (seq - 1)
            newer = sizes[max(seq, log.first - 1) :]
            assert log.after(seq) == sum(newer) + OVERHEAD * len(newer)


@given(STEPS, st.floats(0, 30))
def test_what_is_too_old_goes_without_new_events(steps: list[tuple[int, float]], pause: float) -> None:
    log, now = Log(MOST, LONGEST), 0.0
    sizes, ats = list[int](), list[float]()
    for size, step in steps:
        now += step
        log.append(b"x" * size, now)
        sizes.append(size)
        ats.append(now)
    log.trim(now + pause)
    assert log.after(0) == log.size
    assert log.first == kept(sizes, ats, now + pause)
    assert log.last == len(sizes)


@given(STEPS, st.integers(0, 60), st.integers(0, 2500))
def test_what_fits_makes_it_forget_nothing_that_waits(steps: list[tuple[int, float]], sent: int, size: int) -> None:
    log = Log(MOST, LONGEST)
    for known, _ in steps:
        log.append(b"x" * known, 0.0)
    sent = min(max(sent, log.first - 1), log.last)
    fits = log.fits(size, sent)
    log.append(b"x" * size, 0.0)
    assert fits == (log.first <= sent + 1)
