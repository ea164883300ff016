from __future__ import annotations

import functools
import json
from random import Random
from typing import Any

import jsonschema
import pytest
from fakes.grammar_walk import walk
from fakes.tool_schemas import SCHEMAS
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.check import check
from mongarsd.inference.grammar.gbnf import Rules
from mongarsd.inference.grammar.json import json_object
from mongarsd.inference.grammar.schema import compile_schema


@functools.cache
def compiled(name: str) -> Rules:
    """When the first test asks: collecting the tests costs nothing."""
    return check(compile_schema(SCHEMAS[name]))


def valid(schema: Any, text: str) -> None:
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(json.loads(text))


@pytest.mark.parametrize("name", SCHEMAS)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_what_the_grammar_accepts_validates(name: str, seed: int) -> None:
    valid(SCHEMAS[name], walk(compiled(name), Random(seed)))


BOUNDS = st.none() | st.integers(-2000, 2000) | st.floats(-50, 50).map(lambda x: round(x, 2))


@given(low=BOUNDS, high=BOUNDS, kind=st.sampled_from(["integer", "number"]), open_=st.booleans(), seed=st.integers())
@settings(max_examples=300, deadline=None)
def test_numbers_stay_within_their_bounds(low: Any, high: Any, kind: str, open_: bool, seed: int) -> None:
    keys = ("exclusiveMinimum", "exclusiveMaximum") if open_ else ("minimum", "maximum")
    schema = {"type": kind, **{k: v for k, v in zip(keys, (low, high), strict=True) if v is not None}}
    try:
        rules = check(compile_schema(schema))
    except BadRequest:
        assert low is not None and high is not None and high - low < 2, "only a narrow range has none"  # noqa: PT018
        return
    for i in range(5):
        valid(schema, walk(rules, Random(seed + i)))


@given(least=st.integers(0, 320), more=st.integers(0, 700), seed=st.integers())
@settings(max_examples=60, deadline=None)
def test_lengths_stay_within_their_bounds(least: int, more: int, seed: int) -> None:
    for schema in (
        {"type": "string", "minLength": least, "maxLength": least + more},
        {"type": "array", "items": {"type": "boolean"}, "minItems": least, "maxItems": least + more},
    ):
        valid(schema, walk(check(compile_schema(schema)), Random(seed), 10_000))


@given(st.integers())
def test_json_mode_gives_objects(seed: int) -> None:
    assert isinstance(json.loads(walk(check(json_object()), Random(seed))), dict)


@pytest.mark.parametrize(
    ("schema", "path", "why"),
    [
        ({"type": "martian"}, "s.type", "expected one of"),
        ({"properties": {"a": {"not": {"type": "null"}}}}, "s.a", "not is not supported"),
        ({"type": "array", "uniqueItems": True}, "s", "uniqueItems"),
        ({"$ref": "http://example.com/x"}, "s.$ref", "only references within"),
        ({"$ref": "#/$defs/x"}, "s.$ref", "there is no"),
        ({"$ref": "#"}, "s", "without an end"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "s", "without an end"),
        ({"allOf": [{"$ref": "#"}]}, "s", "contains itself"),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "s", "nothing in common"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "s", "oneOf"),
        ({"type": "string", "pattern": "(?=x)"}, "s.pattern", "look-around"),
        ({"type": "string", "pattern": "^a|b$"}, "s.pattern", "brackets"),
        ({"type": "string", "minLength": 5, "maxLength": 2}, "s", "maxLength"),
        ({"type": "string", "minLength": 10**9}, "s.minLength", "10,000"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "s", "bounds"),
        ({"type": "number", "multipleOf": 0.1}, "s.multipleOf", "only 1"),
        ({"enum": []}, "s.enum", "not empty"),
        ({"enum": ["a"], "type": "integer"}, "s", "of its type"),
        ({"enum": [float("nan")]}, "s", "cannot spell"),
        (False, "s", "allows nothing"),
        (7, "s", "a schema is"),
    ],
)
def test_what_cannot_be_promised_is_refused_with_its_path(schema: Any, path: str, why: str) -> None:
    with pytest.raises(BadRequest) as caught:
        compile_schema(schema, param="p", path="s")
    assert caught.value.message.startswith(f"{path}: ") or caught.value.message.startswith(f"{path}.")
    assert why in caught.value.message
    assert caught.value.param == "p"


def test_enormous_schemas_are_refused() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(200):
        deep = {"type": "array", "items": deep}
    wide = {"type": "object", "properties": {f"property number {i}": {"enum": [str(i) * 9]} for i in range(20_000)}}
    doubling: dict[str, Any] = {"type": "object", "$defs": {"d0": {"type": "string"}}, "$ref": "#/$defs/d40"}
    for i in range(1, 41):
        doubling["$defs"][f"d{i}"] = {"allOf": [{"$ref": f"#/$defs/d{i - 1}"}] * 2}
    for schema in (deep, wide, doubling):
        with pytest.raises(BadRequest):
            compile_schema(schema)


KEYS = "type properties required items enum const anyOf allOf oneOf $ref minimum maxLength pattern format".split()
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["object", "string", "#", "#/a", "^a$"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(ANY)
@settings(max_examples=400, deadline=None)
def test_any_input_compiles_or_is_refused(schema: Any) -> None:
    try:
        text = compile_schema(schema)
    except BadRequest:
        return
    check(text)
