"""`type`, `const` and `enum`: which kinds of value a schema allows, and which values."""

from __future__ import annotations

from typing import Any

from mongarsd.inference.grammar import arrays, bounds, objects, strings
from mongarsd.inference.grammar.merge import ANNOTATIONS
from mongarsd.inference.grammar.place import Place
from mongarsd.inference.grammar.rules import json_literal

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
#: A keyword binds only values of its own type.
OF_TYPE = {"object": objects.KEYS, "array": arrays.KEYS, "string": strings.KEYS, "number": bounds.KEYS}


def kinds(place: Place) -> list[str]:
    schema, given = place.schema, place.schema.get("type")
    found = given if isinstance(given, list) else [given] if given is not None else []
    if not all(isinstance(kind, str) and kind in TYPES for kind in found) or given == []:
        place.refuse(f"expected one of {', '.join(TYPES)}", "type")
    if not found:  # a keyword binds only its own type, so the others would be free: read it as what it means
        found = [kind for kind, keys in OF_TYPE.items() if any(key in schema for key in keys)]
        if not found:
            found = ["object", "array", "string", "number", "boolean", "null"]
    if schema.get("nullable") is True and "null" not in found:  # OpenAPI 3.0's word
        found = [*found, "null"]
    return [kind for kind in dict.fromkeys(found) if not (kind == "integer" and "number" in found)]


def values(place: Place) -> list[str]:
    """What `const` and `enum` allow, as literals."""
    schema = place.schema
    found = [schema["const"]] if "const" in schema else place.several("enum")
    if "const" in schema and "enum" in schema:
        found = [value for value in found if _among(value, schema["enum"])]
    if "type" in schema:
        types = kinds(place)
        found = [value for value in found if any(_is(value, kind) for kind in types)]
    if others := set(schema) - ANNOTATIONS - {"const", "enum", "type", "nullable"}:
        place.refuse(f"{min(others)} beside const or enum is not supported")
    if not found:
        place.refuse("no value of const or enum is of its type")
    try:
        return list(dict.fromkeys(json_literal(value) for value in found))
    except (ValueError, RecursionError):
        place.refuse("a value that JSON cannot spell")


def _is(value: Any, kind: str) -> bool:
    return {
        "object": isinstance(value, dict),
        "array": isinstance(value, list),
        "string": isinstance(value, str),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
        "null": value is None,
    }[kind]


def _among(value: Any, values: Any) -> bool:
    return isinstance(values, list) and any(value == one and type(value) is type(one) for one in values)
