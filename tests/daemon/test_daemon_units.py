from __future__ import annotations

import pytest

from mongarsd.daemon.units import seconds, size


@pytest.mark.parametrize(
    ("text", "value"), [("5m", 300.0), ("500 ms", 0.5), ("-1", -1.0), ("1.5h", 5400.0), ("1d", 86400.0), ("7", 7.0)]
)
def test_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(("text", "value"), [("512MiB", 512 << 20), ("8 GB", 8 * 10**9), ("1.5KiB", 1536), ("9", 9)])
def test_size(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize("text", ["", "m", "5 minutes", "1e3", "nan", "inf", "5m5", "0x10", "٣s"])
def test_neither(text: str) -> None:
    with pytest.raises(ValueError, match="units"):
        seconds(text)
    with pytest.raises(ValueError, match="units"):
        size(text)
