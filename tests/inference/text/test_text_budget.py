from __future__ import annotations

import time

import pytest

from mongarsd.inference.text import budget
from mongarsd.inference.text.budget import CELL, TOTAL, VALUE, Budget, Overrun, weigh


def nested(levels: int) -> list[object]:
    value: list[object] = ["x"]
    for _ in range(levels):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("value", "weight"),
    [
        ("four", CELL + 4),
        (7, CELL),
        (["ab", 1], 3 * CELL + 2),
        ({"k": "v"}, 3 * CELL + 2),
        ({"k": "v"}.items(), 4 * CELL + 2),
        (nested(3), 23 * CELL + 8),
    ],
)
def test_weigh(value: object, weight: int) -> None:
    assert weigh(value) == weight


def test_weigh_gives_up_early_on_what_grows_exponentially() -> None:
    with pytest.raises(Overrun, match="too large"):
        weigh(nested(200), 1000)


def test_one_value_is_bounded_and_all_of_them_together() -> None:
    made = Budget(60)
    made.made("x" * VALUE)
    with pytest.raises(Overrun, match="too large"):
        made.made("x" * (VALUE + 1))
    for _ in range(TOTAL // VALUE - 1):
        made.made("x" * VALUE)
    with pytest.raises(Overrun, match="too much"):
        made.made("x")


def test_a_large_request_may_make_large_values() -> None:
    Budget(60, 10_000).made("x" * (VALUE + 100_000))


def test_time_in_which_others_compute_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Budget(5)
    monkeypatch.setattr(budget, "monotonic", lambda: time.monotonic() + 1000)
    made.tick()
    monkeypatch.setattr(budget, "thread_time", lambda: time.thread_time() + 6)
    with pytest.raises(Overrun, match="not done after 5 s"):
        made.tick()


def test_time_is_bounded() -> None:
    Budget(60).tick()
    with pytest.raises(Overrun, match="not done after -1 s"):
        Budget(-1).tick()
