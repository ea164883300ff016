"""Numbers between bounds as grammar. Exact: bounds are decimals, never floats."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

DIGITS = 15  # what a double keeps of an integer
PLACES = 3  # decimal places that a number between bounds may have, or as many as the bounds themselves have
LARGEST = 10**DIGITS - 1


def integer_between(low: int | None, high: int | None) -> str | None:
    """Alternatives for the integers in [low, high], None if there are none. Bounds beyond 15 digits are cut."""
    low, high = max(-LARGEST, -LARGEST if low is None else low), min(LARGEST, LARGEST if high is None else high)
    options = []
    if low < 0:
        options += [f'"-" ({_or(_integers(max(1, -high), -low))})'] if -low >= max(1, -high) else []
    if high >= 0 and high >= low:
        options += _integers(max(low, 0), high)
    return _or(options) or None


def number_between(low: Decimal | None, high: Decimal | None, *, open_low: bool, open_high: bool) -> str | None:
    """Alternatives for the decimals in the interval, without exponent; None if there are none."""
    places = max([PLACES, *(_places(bound) for bound in (low, high) if bound is not None)])
    options = []
    for count in range(places + 1):
        scale = 10**count
        first = -LARGEST * scale if low is None else _scaled(low, scale, ROUND_CEILING, open_low)
        last = LARGEST * scale if high is None else _scaled(high, scale, ROUND_FLOOR, not_equal=open_high)
        first, last = max(first, -LARGEST * scale), min(last, LARGEST * scale)
        if first < 0 and -first >= max(1, -last):
            options.append(f'"-" ({_or(_decimals(max(1, -last), -first, count))})')
        if last >= 0 and last >= first:
            options += _decimals(max(first, 0), last, count)
    return _or(options) or None


def _places(bound: Decimal) -> int:
    exponent = bound.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _scaled(bound: Decimal, scale: int, rounding: str, not_equal: bool) -> int:
    whole = int((bound * scale).to_integral_value(rounding))
    if not_equal and bound * scale == whole:
        whole += 1 if rounding == ROUND_CEILING else -1
    return whole


def _decimals(low: int, high: int, places: int) -> list[str]:
    """Numbers n / 10**places for 0 <= low <= n <= high, with exactly that many places."""
    if not places:
        return _integers(low, high)
    scale = 10**places
    (first, from_), (last, to) = divmod(low, scale), divmod(high, scale)
    if first == last:
        return [f'"{first}." ({_or(_fixed(from_, to, places))})']
    options = [f'"{first}." ({_or(_fixed(from_, scale - 1, places))})', f'"{last}." ({_or(_fixed(0, to, places))})']
    if last - first > 1:
        options.append(f'({_or(_integers(first + 1, last - 1))}) "." [0-9]{{{places}}}')
    return options


def _integers(low: int, high: int) -> list[str]:
    """0 <= low <= n <= high, without leading zeros."""
    options = []
    for width in range(len(str(low)), len(str(high)) + 1):
        smallest = 0 if width == 1 else 10 ** (width - 1)
        options += _fixed(max(low, smallest), min(high, 10**width - 1), width)
    return options


def _fixed(low: int, high: int, width: int) -> list[str]:
    """low <= n <= high, each with `width` digits, leading zeros included."""
    first, last = f"{low:0{width}}", f"{high:0{width}}"
    same = next((i for i in range(width) if first[i] != last[i]), width)
    head = f'"{first[:same]}"' if same else ""
    if same == width:
        return [head or '""']
    rest = width - same - 1
    if not rest:
        return [f"{head} {_digit(first[same], last[same])}".strip()]
    unit = 10**rest
    from_, to = int(first[same]), int(last[same])
    low_rest, high_rest = int(first[same + 1 :]), int(last[same + 1 :])
    options = []
    if low_rest:
        options.append(f'"{from_}" ({_or(_fixed(low_rest, unit - 1, rest))})')
        from_ += 1
    upper = []
    if high_rest != unit - 1:
        upper.append(f'"{to}" ({_or(_fixed(0, high_rest, rest))})')
        to -= 1
    if from_ <= to:
        options.append(f"{_digit(str(from_), str(to))} [0-9]{{{rest}}}")
    options += upper
    return [f"{head} ({_or(options)})"] if head else options


def _digit(first: str, last: str) -> str:
    return f'"{first}"' if first == last else f"[{first}-{last}]"


def _or(options: list[str]) -> str:
    return " | ".join(options)
