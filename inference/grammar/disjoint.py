"""Whether no value fits two schemas: what `oneOf` needs, because a grammar cannot say "and not the other"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_SAME = {"integer": "number"}


#: Compared with each other one by one, 5 to 20 µs each (x86). Branches told apart by one value (`kind`) need none.
MAX_PAIRS = 10_000


class TooMany(Exception):
    """There are more pairs than are compared."""


class Pairs:
    """What may still be compared."""

    def __init__(self, most: int = MAX_PAIRS) -> None:
        self._left = most

    def overlap(self, schemas: Sequence[Any]) -> tuple[int, int] | None:
        """The first two that a value may fit both of, the earlier one first. Raises TooMany."""
        if _all_differ(schemas):
            return None
        for i, one in enumerate(schemas):
            self._left -= i
            if self._left < 0:
                raise TooMany
            for j, other in enumerate(schemas[:i]):
                if not disjoint(one, other):
                    return j, i
        return None


def _all_differ(schemas: Sequence[Any]) -> bool:
    """True if values tell them apart, theirs or those of a property that all require: a look at each is enough."""
    if not all(isinstance(one, dict) for one in schemas):
        return False
    lists = [_values(one) for one in schemas]
    try:
        if all(values is not None for values in lists):
            sets: list[set[Any]] = [set(values or ()) for values in lists]
            return len(set.union(*sets)) == sum(map(len, sets))
        if not all(_kinds(one) == {"object"} for one in schemas):
            return False
        named: list[set[str]] = [set(one.get("required", ())) & set(one.get("properties", {})) for one in schemas]
        kept = [[one["properties"][name] for one in schemas] for name in set.intersection(*named)]
        return any(all(isinstance(one, dict) and _values(one) for one in some) and _all_differ(some) for some in kept)
    except TypeError:  # of lists and objects there are no sets
        return False


def disjoint(one: Any, other: Any) -> bool:
    """True only if it is certain. Both without `$ref` and `allOf` at the top."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    first, second = _values(one), _values(other)
    if first is not None and second is not None:
        return not any(a == b for a in first for b in second)
    kinds, others = _kinds(one), _kinds(other)
    if kinds and others and not kinds & others:
        return True
    if not (kinds == others == {"object"}):
        return False
    return _told_apart(one, other) or _lacks(one, other) or _lacks(other, one)


def _told_apart(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """A property that both require has different values in each, as `kind` often has."""
    a, b = one.get("properties", {}), other.get("properties", {})
    both = set(one.get("required", ())) & set(other.get("required", ())) & set(a) & set(b)
    return any(disjoint(a[name], b[name]) for name in both)


def _lacks(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """`one` requires what `other` does not allow."""
    closed = other.get("additionalProperties") is False
    return closed and bool(set(one.get("required", ())) - set(other.get("properties", {})))


def _values(schema: dict[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _kinds(schema: dict[str, Any]) -> set[str]:
    if (values := _values(schema)) is not None:
        return {_kind(value) for value in values}
    types = schema.get("type")
    found = types if isinstance(types, list) else [types] if isinstance(types, str) else []
    return {_SAME.get(kind, kind) for kind in found if isinstance(kind, str)}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}.get(type(value), "object")
