"""The schema of a tool, loosened until it can be promised: what is left binds, and all names stay.

Tools come from everywhere (MCP servers, OpenAPI documents, `voluptuous`), and no client expects that one `uniqueItems`
among forty tools ends the conversation: neither OpenAI without `strict`, nor Anthropic, nor Ollama bind them at all.
llama-server reads no `strict`, and programs set it on schemas that OpenAI itself would refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.merge import ANNOTATIONS
from mongarsd.inference.grammar.schema import KNOWN, SchemaRules, compile_schema

#: Keywords whose values are a schema, a list of schemas, or schemas by name.
_ONE = ("items", "additionalProperties")
_LIST = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "$defs", "definitions")
#: Of those that are known, the ones that may ask for too much.
_NARROW = frozenset({"pattern", "format", "multipleOf", "minProperties", "maxProperties", "minItems", "maxItems"})
_DEFINITIONS = ("$defs", "definitions")


def loosened(schema: dict[str, Any], *, param: str, path: str) -> dict[str, Any]:
    """`schema` itself if it compiles, else one that does, for the same object. Raises BadRequest for what describes no
    object's properties."""
    try:
        compile_schema(schema, param=param, path=path)
        return schema
    except BadRequest:
        if not isinstance(schema.get("properties", {}), dict):
            raise
    less = schema
    for drops in (_unknown, _narrow):
        less = _without(less, drops)
        if _compiles(less):
            return less
    return _by_property(less)


def _unknown(keyword: str) -> bool:
    return keyword not in KNOWN


def _narrow(keyword: str) -> bool:
    return _unknown(keyword) or keyword in _NARROW


def _by_property(schema: dict[str, Any]) -> dict[str, Any]:
    """Properties that cannot be bound may have any value; what is said about them stays. All are tried in one grammar,
    so that many small ones which share a large definition cost no more than it."""
    around = {"type": "object", **{name: schema[name] for name in _DEFINITIONS if name in schema}}
    properties: dict[str, Any] = schema.get("properties", {})
    rules = SchemaRules("tools")
    rules.add(around, "parameters")
    kept = {name: one if _fits(rules, one) else _said(one) for name, one in properties.items()}
    given = schema.get("required")
    required = [name for name in kept if name in given] if isinstance(given, list) else []
    whole = {**_said(schema), **around, "properties": kept, "required": required}
    if _compiles(whole):
        return whole
    return {"type": "object", "properties": {name: _said(one) for name, one in kept.items()}}


def _compiles(schema: Any) -> bool:
    try:
        compile_schema(schema)
    except BadRequest:
        return False
    return True


def _fits(rules: SchemaRules, schema: Any) -> bool:
    try:
        rules.part(schema, "parameters")
    except BadRequest:
        return False
    return True


def _said(schema: Any) -> dict[str, Any]:
    """What binds nothing."""
    if not isinstance(schema, dict):
        return {}
    return {name: value for name, value in schema.items() if name in ANNOTATIONS and name not in _DEFINITIONS}


def _without(schema: dict[str, Any], drops: Callable[[str], bool]) -> dict[str, Any]:
    """Without such keywords, in every schema within."""

    def inner(one: Any) -> Any:
        return _without(one, drops) if isinstance(one, dict) else one

    less: dict[str, Any] = {}
    for keyword, value in schema.items():
        if drops(keyword):
            continue
        if keyword in _ONE:
            less[keyword] = inner(value)
        elif keyword in _LIST and isinstance(value, list):
            # Which of several branches, and no other, is what cannot be promised.
            wide = "anyOf" if keyword == "oneOf" and drops is _narrow and "anyOf" not in schema else keyword
            less[wide] = [inner(one) for one in value]
        elif keyword in _NAMED and isinstance(value, dict):
            less[keyword] = {name: inner(one) for name, one in value.items()}
        else:
            less[keyword] = value
    return less
