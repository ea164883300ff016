"""allOf, and keywords beside `$ref` or `anyOf`: several schemas that must all hold become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Schema = dict[str, Any]

#: They say nothing about what is valid.
ANNOTATIONS = frozenset(
    "title description default examples example deprecated readOnly writeOnly $schema $id $comment $defs definitions"
    " $anchor contentMediaType contentEncoding discriminator xml externalDocs".split()
)


class Conflict(ValueError):
    """Why the schemas cannot be made one."""


def merge(schemas: Sequence[Schema]) -> Schema:
    """One schema that holds where all of `schemas` do. Raises Conflict."""
    merged: Schema = {}
    for schema in schemas:
        properties = {**merged.get("properties", {})}
        for name, value in schema.get("properties", {}).items():
            properties[name] = {"allOf": [properties[name], value]} if name in properties else value
        for one, other in ((merged, schema), (schema, merged)):
            if one.get("additionalProperties") is False:
                outside = set(other.get("properties", {})) - set(one.get("properties", {}))
                if outside & {*merged.get("required", ()), *schema.get("required", ())}:
                    raise Conflict(f"the property {min(outside)!r} is both required and forbidden")
                for name in outside:
                    properties.pop(name, None)
        for key, value in schema.items():
            if key in ANNOTATIONS or key == "properties":
                continue
            merged[key] = _both(key, merged[key], value) if key in merged else value
        if properties or "properties" in schema:
            merged["properties"] = properties
    return merged


def _both(key: str, one: Any, other: Any) -> Any:
    if one == other:
        return one
    if key == "required":
        return [*one, *(name for name in other if name not in one)]
    if key == "type":
        types = _types(one)
        wanted = _types(other)
        common = [name for name in types if name in wanted or (name == "integer" and "number" in wanted)]
        common += [name for name in wanted if name == "integer" and "number" in types and name not in common]
        if not common:
            raise Conflict(f"the types {one!r} and {other!r} have nothing in common")
        return common
    if key == "enum":
        return [value for value in one if value in other]
    if key in ("minimum", "exclusiveMinimum", "minLength", "minItems"):
        return max(one, other)
    if key in ("maximum", "exclusiveMaximum", "maxLength", "maxItems"):
        return min(one, other)
    if key == "additionalProperties" and (one is False or other is False):
        return False
    raise Conflict(f"{key} is {one!r:.60} and {other!r:.60} at the same time")


def _types(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]
