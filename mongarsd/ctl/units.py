"""Numbers as people read them."""

from __future__ import annotations


def size(count: float) -> str:
    """Bytes, decimal units: 98362432 → "98.4 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{_three(count)} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1000
    return f"{_three(count)} TB"


def count(number: float) -> str:
    """Parameters: 134515008 → "135 M"."""
    for unit in ("", " k", " M"):
        if number < 999.5:
            return f"{_three(number)}{unit}" if unit else f"{number:.0f}"
        number /= 1000
    return f"{_three(number)} B"


def many(number: int, one: str, more: str = "") -> str:
    """ "1 slot", "8 slots"."""
    return f"{number} {one if number == 1 else more or one + 's'}"


def rate(number: float) -> str:
    """Tokens a second; 0 = nothing measured yet."""
    return f"{_three(number)} t/s" if number > 0 else "not measured"


def span(seconds: float) -> str:
    """Two units at most: 11537 → "3 h 12 min"."""
    left = max(0, round(seconds))
    for big, small, factor in (("d", "h", 86_400), ("h", "min", 3_600), ("min", "s", 60)):
        if left >= factor:
            rest = left % factor // (factor // {"d": 24, "h": 60, "min": 60}[big])
            return f"{left // factor} {big}" + (f" {rest} {small}" if rest else "")
    return f"{left} s"


def _three(number: float) -> str:
    """About three digits, no exponent."""
    return f"{number:.0f}" if number >= 99.95 else f"{number:.1f}" if number >= 9.995 else f"{number:.2g}"
