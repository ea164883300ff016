from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.api.logins import FORGOTTEN, FREE, Attempts, network


def test_twice_as_long_after_each_miss_up_to_the_longest() -> None:
    attempts, now, waits = Attempts(longest=60.0), 0.0, []
    for _ in range(FREE + 8):
        attempts.missed("ana", now)
        waits.append(attempts.wait("ana", now))
        now += waits[-1]
        assert attempts.wait("ana", now) == 0.0
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert attempts.wait("bo", now) == 0.0
    attempts.succeeded("ana")
    assert attempts.wait("ana", now) == 0.0


def test_it_is_forgotten() -> None:
    attempts = Attempts(longest=900.0)
    for _ in range(50):
        attempts.missed("ana", 0.0)
    assert attempts.wait("ana", 1.0) == 899.0
    attempts.missed("ana", FORGOTTEN)
    assert attempts.wait("ana", FORGOTTEN) == 0.0


@given(st.lists(st.tuples(st.text(max_size=3), st.floats(0, 1e6)), max_size=200))
def test_bounded(misses: list[tuple[str, float]]) -> None:
    attempts = Attempts(longest=60.0, most=5)
    for who, now in misses:
        attempts.missed(who, now)
        assert len(attempts) <= 5
        assert 0.0 <= attempts.wait(who, now) <= 60.0


@pytest.mark.parametrize(
    ("address", "one"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_network(address: str, one: str) -> None:
    assert network(address) == one
