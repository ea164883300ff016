"""Which branches of `oneOf` a value may fit both of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.inference.grammar.disjoint import MAX_PAIRS, Pairs, TooMany, disjoint


def kind(value: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"kind": {"const": value}, "x": {}}, "required": ["kind"]}


@pytest.mark.parametrize(
    ("schemas", "both"),
    [
        ([{"const": 1}, {"const": 2}], None),
        ([{"const": 1}, {"const": 2}, {"enum": [3, 1]}], (0, 2)),
        ([{"const": "a"}, {"type": "number"}], None),
        ([{"const": [1]}, {"const": [2]}], None),
        ([{"const": [1]}, {"const": [2]}, {"const": [2]}], (1, 2)),
        ([kind("a"), kind("b")], None),
        ([kind("a"), kind("b"), kind("a")], (0, 2)),
        ([kind("a"), {"type": "object"}], (0, 1)),
        ([kind("a"), kind("b") | {"nullable": True}], None),
        ([kind("a") | {"nullable": True}, kind("b") | {"nullable": True}], (0, 1)),
        ([{"type": "string", "nullable": True}, {"type": "number"}, {"type": "null"}], (0, 2)),
        ([{"enum": [{"a": [1]}, []]}, {"enum": [{"a": [2]}, {}]}], None),
        ([{"enum": [{"a": [1]}, []]}, {"enum": [{"a": [True]}, {}]}], (0, 1)),
        ([kind("a"), True], (0, 1)),
        ([{"type": "object", "properties": ["kind"], "required": ["kind"]}, {"type": "null"}], None),
    ],
)
def test_the_first_two_that_overlap_are_named(schemas: list[Any], both: tuple[int, int] | None) -> None:
    assert Pairs().overlap(schemas) == both


@pytest.mark.parametrize("make", [kind, lambda n: {"const": n, "title": str(n)}, lambda n: {"enum": [n, str(n)]}])
def test_thousands_told_apart_by_a_value_need_no_comparison(make: Any) -> None:
    pairs = Pairs(most=0)
    assert pairs.overlap([make(n) for n in range(3000)]) is None
    with pytest.raises(TooMany):
        pairs.overlap([make(n % 2000) for n in range(3000)])


def test_what_may_be_compared_is_bounded_for_a_whole_grammar() -> None:
    pairs, some = Pairs(), [*({"const": n} for n in range(9)), {"type": "string"}]
    for _ in range(MAX_PAIRS // 45):
        assert pairs.overlap(some) is None
    with pytest.raises(TooMany):
        pairs.overlap(some)


@pytest.mark.parametrize("make", [str, lambda n: [n], lambda n: {"n": n}])
def test_long_enumerations_count_for_as_many_pairs_as_they_take(make: Any) -> None:
    lists = [{"enum": [make(1000 * i + n) for n in range(1000)]} for i in range(10)]
    assert Pairs(most=0).overlap(lists) is None
    beside = [*lists, {"type": "boolean"}]
    assert Pairs().overlap(beside) is None
    with pytest.raises(TooMany):
        Pairs(most=1000).overlap(beside)


VALUES = st.sampled_from([None, True, 1, 1.0, 2, "a", "b", [1], {"a": 1}])
ENUMS = st.lists(VALUES, min_size=1, max_size=3).map(lambda values: {"enum": values})
OBJECTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["object", "array"]), "properties": st.fixed_dictionaries({"k": ENUMS, "l": ENUMS})},
    optional={"required": st.lists(st.sampled_from(["k", "l"]), max_size=2)},
)


@given(st.lists(ENUMS | OBJECTS, min_size=1, max_size=5))
def test_the_glance_at_each_finds_what_comparing_all_would(schemas: list[dict[str, Any]]) -> None:
    pairs = [(j, i) for i in range(len(schemas)) for j in range(i) if not disjoint(schemas[i], schemas[j])]
    assert Pairs().overlap(schemas) == (pairs[0] if pairs else None)
