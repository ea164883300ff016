"""Silence, restarts and keep_alive: decisions about time, without any."""

from __future__ import annotations

import pytest

from mongarsd.inference.pool.keep_alive import GRACE, expires_in
from mongarsd.inference.pool.restarts import BACK_OFF, FIRST_LOADS, STABLE, Restarts
from mongarsd.inference.pool.silence import Silence


@pytest.mark.parametrize(
    ("keep_alive", "idle_for", "used", "left"),
    [
        (-1, 1e9, True, None),
        (60, None, True, None),
        (60, 20, True, 40),
        (60, 61, True, 0),
        (0, 0, True, 0),
        (0, 0, False, GRACE),
        (0, GRACE, False, 0),
        (60, 20, False, 40),
    ],
)
def test_keep_alive(keep_alive: float, idle_for: float | None, used: bool, left: float | None) -> None:
    assert expires_in(keep_alive, idle_for, used=used) == left


def test_silence_adds_up_and_ends_with_a_word() -> None:
    silence = Silence(100.0, 1.0)
    assert [silence.check(now) for now in (101.0, 102.0, 103.5)] == [1.0, 2.0, 3.5]
    silence.heard()
    assert silence.check(104.5) == 1.0


def test_a_late_listener_counts_for_little() -> None:
    silence = Silence(100.0, 1.0)
    assert silence.check(1000.0) == 2.0


def test_back_off_then_the_end() -> None:
    restarts = Restarts()
    waits = [restarts.crashed(1.0, fruitful=False, proven=True) for _ in range(len(BACK_OFF) + 1)]
    assert waits == [*BACK_OFF, None]
    assert restarts.total == len(BACK_OFF) + 1


def test_a_model_that_was_never_ready_fails_sooner() -> None:
    restarts = Restarts()
    waits = [restarts.crashed(1.0, fruitful=False, proven=False) for _ in range(FIRST_LOADS + 1)]
    assert waits == [*BACK_OFF[:FIRST_LOADS], None]


@pytest.mark.parametrize(("lived", "fruitful"), [(STABLE, False), (0.1, True)])
def test_useful_lives_reset_the_count(lived: float, fruitful: bool) -> None:
    restarts = Restarts()
    restarts.crashed(1.0, fruitful=False, proven=True)
    assert restarts.crashed(lived, fruitful=fruitful, proven=True) == 0.0
    assert restarts.fruitless == 0
