"""OpenAI's filters over a file's attributes: comparisons, and `and` and `or` of filters. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from mongarsd.ground.errors import BadRequest
from mongarsd.memory.documents.types import Attributes

#: Does a file with these attributes pass?
Test = Callable[[Attributes], bool]

MAX_DEPTH = 8
MAX_FILTERS = 64  # in one `and` or `or`
MAX_VALUES = 1000  # of `in` and `nin`

_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def compile_filter(given: Any, where: str = "filters", depth: int = MAX_DEPTH) -> Test:
    """Raises BadRequest that names the place."""
    if not isinstance(given, dict) or not isinstance(kind := given.get("type"), str):
        raise BadRequest(f"{where}: an object with a type", param=where)
    if kind in ("and", "or"):
        inner = given.get("filters")
        if not isinstance(inner, list) or len(inner) > MAX_FILTERS or not depth:
            raise BadRequest(f"{where}.filters: a list of at most {MAX_FILTERS}, {MAX_DEPTH} levels deep", param=where)
        tests = [compile_filter(one, f"{where}.filters[{i}]", depth - 1) for i, one in enumerate(inner)]
        every = all if kind == "and" else any
        return lambda attributes: every(test(attributes) for test in tests)
    key, value = given.get("key"), given.get("value")
    if not isinstance(key, str):
        raise BadRequest(f"{where}.key: the name of an attribute", param=f"{where}.key")
    if kind in ("in", "nin"):
        if not isinstance(value, list) or len(value) > MAX_VALUES or not all(map(_plain, value)):
            raise BadRequest(f"{where}.value: a list of texts and numbers", param=f"{where}.value")
        return lambda attributes: any(_same(attributes.get(key), one) for one in value) == (kind == "in")
    if not _plain(value):
        raise BadRequest(f"{where}.value: a text, a number, true or false", param=f"{where}.value")
    if kind in ("eq", "ne"):
        return lambda attributes: _same(attributes.get(key), value) == (kind == "eq")
    if kind not in _ORDERED:
        raise BadRequest(f"{where}.type: eq, ne, gt, gte, lt, lte, in, nin, and, or", param=f"{where}.type")
    return lambda attributes: _comparable(attributes.get(key), value) and _ORDERED[kind](attributes[key], value)


def _plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool))


def _same(have: Any, want: Any) -> bool:
    """1 is 1.0, and not true."""
    return isinstance(have, bool) == isinstance(want, bool) and have == want


def _comparable(have: Any, want: Any) -> bool:
    """Two texts or two numbers."""
    return not isinstance(have, bool) and isinstance(have, (int, float) if not isinstance(want, str) else str)
