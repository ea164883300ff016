from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.ctl import units


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (98_362_432, "98.4 MB"), (1.5e9, "1.5 GB"), (7e13, "70.0 TB")],
)
def test_size(count: float, text: str) -> None:
    assert units.size(count) == text


@pytest.mark.parametrize(("number", "text"), [(12, "12"), (134_515_008, "135 M"), (1_235_814_400, "1.2 B")])
def test_count(number: float, text: str) -> None:
    assert units.count(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "not measured"), (120.4, "120 t/s"), (12.34, "12.3 t/s"), (1.2, "1.2 t/s")]
)
def test_rate(number: float, text: str) -> None:
    assert units.rate(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (59, "59 s"), (60, "1 min"), (192, "3 min 12 s"), (11_537, "3 h 12 min"), (273_600, "3 d 4 h")],
)
def test_span(seconds: float, text: str) -> None:
    assert units.span(seconds) == text


@given(st.floats(0, 1e12))
def test_any_number_is_short(number: float) -> None:
    assert len(units.size(number)) <= 8
    assert len(units.span(number)) <= 16
