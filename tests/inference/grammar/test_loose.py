from __future__ import annotations

from typing import Any

import pytest
from fakes.mutation import mutated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.loose import loosened
from mongarsd.inference.grammar.schema import compile_schema

TEXT = {"type": "string"}


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def loose(schema: dict[str, Any]) -> dict[str, Any]:
    return loosened(schema, param="tools", path="tool f: parameters")


def test_what_can_be_promised_stays_as_it_is() -> None:
    schema = of(town={"type": "string", "maxLength": 5, "description": "A town"})
    assert loose(schema) is schema


@pytest.mark.parametrize(
    ("schema", "left"),
    [
        (of(a={"type": "array", "items": TEXT, "uniqueItems": True}), of(a={"type": "array", "items": TEXT})),
        (of(a={**TEXT, "not": {"const": ""}}), of(a=TEXT)),
        ({**of(a=TEXT), "propertyNames": {"minLength": 1}}, of(a=TEXT)),
        ({**of(a=TEXT), "if": {}, "then": {}}, of(a=TEXT)),
        (of(a={"type": "number", "multipleOf": 0.5, "minimum": 0}), of(a={"type": "number", "minimum": 0})),
        (of(a={**TEXT, "pattern": "^a", "maxLength": 3}), of(a={**TEXT, "maxLength": 3})),
        (of(a={"oneOf": [TEXT, {**TEXT, "maxLength": 3}]}), of(a={"anyOf": [TEXT, {**TEXT, "maxLength": 3}]})),
        (of(a=of(b={"type": "array", "contains": TEXT})), of(a=of(b={"type": "array"}))),
        (of(a={"type": "file", "description": "A file"}, b=TEXT), of(a={"description": "A file"}, b=TEXT)),
        (of(a={"$ref": "https://example.org/a.json"}, b=TEXT), of(a={}, b=TEXT)),
    ],
)
def test_the_rest_binds_and_all_names_stay(schema: dict[str, Any], left: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        compile_schema(schema)
    assert loose(schema) == left


def test_what_describes_no_object_is_refused() -> None:
    with pytest.raises(BadRequest):
        loose({"type": "object", "properties": ["a"]})


VALID = [
    of(a={"type": "array", "items": TEXT, "minItems": 1}, b={"anyOf": [TEXT, {"type": "null"}]}, c={"enum": [1, "x"]}),
    {"$ref": "#/$defs/A", "$defs": {"A": of(a={"type": "integer", "minimum": 0}, b={"$ref": "#/$defs/B"}), "B": TEXT}},
    {"type": "object", "additionalProperties": {"oneOf": [TEXT, {"type": "integer"}]}},
]


@given(st.sampled_from(VALID).flatmap(mutated))
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_comes_compiles_or_is_refused(schema: Any) -> None:
    if not isinstance(schema, dict):
        return
    try:
        left = loose(schema)
    except BadRequest:
        return
    compile_schema(left)
