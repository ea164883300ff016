"""Times and sizes as people write them."""

from __future__ import annotations

import re

_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_BYTES = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_NUMBER = re.compile(r"(-?\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]*)", re.ASCII)


def seconds(text: str) -> float:
    """ "5m" → 300.0; a bare number is seconds. Raises ValueError."""
    number, unit = _split(text, _SECONDS)
    return number * _SECONDS[unit]


def size(text: str) -> int:
    """ "512MiB" → bytes; a bare number is bytes. Raises ValueError."""
    number, unit = _split(text, _BYTES)
    return round(number * _BYTES[unit])


def _split(text: str, units: dict[str, float] | dict[str, int]) -> tuple[float, str]:
    match = _NUMBER.fullmatch(text.strip())
    if not match or match[2] not in units:
        names = ", ".join(unit for unit in units if unit)
        raise ValueError(f"expected a number, or a number with one of the units {names}")
    return float(match[1]), match[2]
