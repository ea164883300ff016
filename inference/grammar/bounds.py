"""A number's keywords as grammar; the numbers between two bounds are `numeric.py`'s."""

from __future__ import annotations

from decimal import Decimal

from mongarsd.inference.grammar.numeric import integer_between, number_between
from mongarsd.inference.grammar.place import Place

KEYS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


def integer(place: Place) -> str:
    low, high, open_low, open_high = _bounds(place)
    if low is None and high is None:
        return place.writer.primitive("integer")
    first = None if low is None else int(-(-low // 1)) + int(open_low and low == int(low))
    last = None if high is None else int(high // 1) - int(open_high and high == int(high))
    if first is not None and low is not None and first < low:
        first += 1
    if last is not None and high is not None and last > high:
        last -= 1
    if not (body := integer_between(first, last)):
        place.refuse("no integer of at most 15 digits lies within the bounds")
    return body


def number(place: Place) -> str:
    if place.schema.get("multipleOf") == 1:
        return integer(place)
    low, high, open_low, open_high = _bounds(place)
    if low is None and high is None:
        return place.writer.primitive("number")
    body = number_between(low, high, open_low=open_low, open_high=open_high)
    if not body:
        place.refuse("no number of at most 15 digits lies within the bounds")
    return body


def _bounds(place: Place) -> tuple[Decimal | None, Decimal | None, bool, bool]:
    """low, high, and whether each is excluded."""
    if place.schema.get("multipleOf", 1) != 1:
        place.refuse("only 1 is supported", "multipleOf")
    low, above, high, below = (
        _bound(place, key) for key in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
    )
    open_low = above is not None and (low is None or above >= low)
    open_high = below is not None and (high is None or below <= high)
    return above if open_low else low, below if open_high else high, open_low, open_high


def _bound(place: Place, key: str) -> Decimal | None:
    value = place.schema.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        place.refuse("expected a number", key)
    if not -1e300 < value < 1e300:  # nor infinite, nor NaN
        place.refuse("too large or too small", key)
    bound = Decimal(repr(value))
    if bound and not -15 <= bound.adjusted() <= 20:
        place.refuse("too large or too small", key)
    return bound
