"""Twenty schemas as real tools have them: homes, calendars, shops, code, forms."""

from __future__ import annotations

from typing import Any

_STRING, _INT = {"type": "string"}, {"type": "integer"}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


SCHEMAS: dict[str, dict[str, Any]] = {
    "weather": _object(["city"], city=_STRING, unit={"enum": ["celsius", "fahrenheit"]}),
    "light": _object(
        ["entity", "on"],
        entity={"type": "string", "pattern": "^light\\.[a-z_]{1,20}$"},
        on={"type": "boolean"},
        brightness={"type": "integer", "minimum": 0, "maximum": 255},
        color={
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 255},
            "minItems": 3,
            "maxItems": 3,
        },
    ),
    "thermostat": _object(
        ["target"],
        target={"type": "number", "minimum": 5, "maximum": 30.5},
        offset={"type": "number", "exclusiveMinimum": -1.5, "exclusiveMaximum": 1.5},
    ),
    "timer": _object(["seconds"], seconds={"type": "integer", "exclusiveMinimum": 0, "maximum": 86400}, name=_STRING),
    "event": _object(
        ["title", "day"],
        title={"type": "string", "minLength": 1, "maxLength": 60},
        day={"type": "string", "format": "date"},
        start={"type": "string", "format": "time"},
        guests={"type": "array", "items": {"type": "string", "minLength": 3}, "maxItems": 4},
    ),
    "mail": _object(
        ["to", "subject"],
        to={"type": "array", "items": {"type": "string", "pattern": "^[a-z]+@[a-z]+\\.(com|org)$"}, "minItems": 1},
        subject={"type": "string", "maxLength": 250},
        priority={"enum": ["low", "normal", "high", None]},
    ),
    "order": _object(
        ["items"],
        items={
            "type": "array",
            "minItems": 1,
            "maxItems": 5,
            "items": _object(["sku", "count"], sku=_STRING, count={"type": "integer", "minimum": 1, "maximum": 99}),
        },
        coupon={"type": ["string", "null"]},
    ),
    "address": _object(
        ["street", "country"],
        street=_STRING,
        zip={"type": "string", "pattern": "^\\d{5}$"},
        country=_object(["code"], code={"type": "string", "minLength": 2, "maxLength": 2}, name=_STRING),
    ),
    "tree": {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": _object(
                ["value"],
                value=_INT,
                children={"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 3},
            )
        },
    },
    "shape": {
        "anyOf": [
            _object(["kind", "radius"], kind={"const": "circle"}, radius={"type": "number", "minimum": 0}),
            _object(["kind", "side"], kind={"const": "square"}, side={"type": "number", "minimum": 0, "maximum": 1e6}),
        ]
    },
    "payment": {
        "type": "object",
        "oneOf": [
            _object(["method", "iban"], method={"const": "bank"}, iban=_STRING),
            _object(
                ["method", "number"], method={"const": "card"}, number={"type": "string", "pattern": "^[0-9]{16}$"}
            ),
        ],
    },
    "person": {
        "allOf": [
            {"type": "object", "properties": {"name": _STRING}, "required": ["name"]},
            {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 150}}},
        ]
    },
    "optional": {
        "type": "object",
        "properties": {"a": _INT, "b": _STRING, "c": {"type": "boolean"}, "d": {"type": "null"}},
    },
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "extras": {
        "type": "object",
        "properties": {"id": _INT, "idle": {"type": "boolean"}, 'q"t': _INT},
        "required": ["id"],
        "additionalProperties": {"type": "string"},
    },
    "pydantic": {
        "$defs": {"Level": {"enum": ["info", "warn"], "title": "Level", "type": "string"}},
        "properties": {
            "level": {"$ref": "#/$defs/Level", "description": "how bad"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "title": "Note"},
        },
        "required": ["level"],
        "title": "Log",
        "type": "object",
    },
    "range": _object(
        ["low", "high"],
        low={"type": "integer", "minimum": -40, "maximum": -3},
        high={"type": "number", "minimum": -0.25, "maximum": 12.75},
    ),
    "pair": {"type": "array", "prefixItems": [_STRING, _INT], "items": False, "minItems": 2},
    "ids": _object(
        ["id", "at"], id={"type": "string", "format": "uuid"}, at={"type": "string", "format": "date-time"}, any={}
    ),
    "matrix": {
        "type": "array",
        "items": {
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 1},
            "minItems": 2,
            "maxItems": 2,
        },
        "minItems": 1,
        "maxItems": 3,
    },
}
