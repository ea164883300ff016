"""Whether no value fits two schemas: what `oneOf` needs, because a grammar cannot say "and not the other"."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

_SAME = {"integer": "number"}


#: Compared with each other one by one, 5 to 20 µs each (x86). Branches told apart by one value (`kind`) need none.
MAX_PAIRS = 10_000
#: Values and properties of two branches that take as long as another pair.
HEAVY = 50


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
        heavy = [_weight(one) // HEAVY for one in schemas]
        for i, one in enumerate(schemas):
            for j, other in enumerate(schemas[:i]):
                self._left -= 1 + heavy[i] + heavy[j]
                if self._left < 0:
                    raise TooMany
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
            sets = [_keys(values or ()) for values in lists]
            return len(set().union(*sets)) == sum(map(len, sets))
        if not all(_kinds(one) == {"object"} for one in schemas):
            return False
        named: list[set[str]] = [set(one.get("required", ())) & set(one.get("properties", {})) for one in schemas]
        kept = [[one["properties"][name] for one in schemas] for name in set.intersection(*named)]
        return any(all(isinstance(one, dict) and _values(one) for one in some) and _all_differ(some) for some in kept)
    except TypeError:  # `required` or `properties` is none: their own check says so
        return False


def disjoint(one: Any, other: Any) -> bool:
    """True only if it is certain. Both without `$ref` and `allOf` at the top."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    first, second = _values(one), _values(other)
    if first is not None and second is not None:
        return _keys(first).isdisjoint(_keys(second))
    kinds, others = _kinds(one), _kinds(other)
    if not kinds or not others or not kinds & others <= {"object"}:
        return False
    return not kinds & others or _told_apart(one, other) or _lacks(one, other) or _lacks(other, one)


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
    if found and schema.get("nullable") is True:
        found = [*found, "null"]
    return {_SAME.get(kind, kind) for kind in found if isinstance(kind, str)}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}.get(type(value), "object")


def _keys(values: Sequence[Any]) -> set[Hashable]:
    """Equal where the values are: what can be looked up."""
    return set(map(_key, values))


def _key(value: Any) -> Hashable:
    if isinstance(value, list):
        return tuple(map(_key, value))
    if isinstance(value, dict):
        return frozenset((name, _key(one)) for name, one in value.items())
    return value  # type: ignore[no-any-return]


def _weight(schema: Any) -> int:
    """Values and properties that are looked at."""
    if not isinstance(schema, dict):
        return 0
    if (values := _values(schema)) is not None:
        return sum(map(_size, values))
    properties = schema.get("properties")
    return sum(1 + _weight(one) for one in properties.values()) if isinstance(properties, dict) else 0


def _size(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_size, inner))
