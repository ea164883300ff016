"""An object's keywords as grammar: properties in the schema's order, optional ones left out or not, then the others."""

from __future__ import annotations

import json
from typing import Any

from mongarsd.inference.grammar.place import Place, wish
from mongarsd.inference.grammar.rules import char_class, literal

KEYS = ("properties", "required", "additionalProperties", "minProperties", "maxProperties")


def object_(place: Place) -> str:
    properties, required, rest = _members(place)
    name, rule, ws = place.wish, place.writer.rule, place.writer.primitive("ws")
    pairs = []
    for key, value in properties.items():
        if value is False and key not in required:
            continue
        target = place.compile(value, f"{place.path}.{key}")
        spelled = literal(json.dumps(key, ensure_ascii=False))
        pairs.append((key in required, rule(f"{name}-{wish(key)}-kv", f'{spelled} {ws} ":" {ws} {target} {ws}')))
    extra = ""
    if rest is not False:
        value = place.compile(rest, f"{place.path}.additionalProperties")
        extra = rule(f"{name}-other", f'{_other_key(place, list(properties))} {ws} ":" {ws} {value} {ws}')
    # after: what may follow once something was written and the properties before are behind.
    after = rule(f"{name}-rest", f'("," {ws} {extra})*') if extra else ""
    first = f"({extra} {after})?" if extra else ""
    for needed, pair in reversed(pairs):
        if needed:
            first = f"{pair} {after}".strip()
        elif first:
            first = f"({pair} {after} | {rule(f'{name}-first', first)})".replace(" )", ")")
        else:
            first = f"({pair} {after})?"
        tail = f'"," {ws} {pair}' if needed else f'("," {ws} {pair})?'
        after = rule(f"{name}-after", f"{tail} {after}".strip())
    return f'"{{" {ws} {first} "}}"'.replace("  ", " ")


def _members(place: Place) -> tuple[dict[str, Any], list[str], Any]:
    """The named properties, the required ones among them, and the schema of the others (False: there are none)."""
    schema = place.schema
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict):
        place.refuse("expected an object", "properties")
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        place.refuse("expected a list of names", "required")
    more = schema.get("additionalProperties", not properties)
    missing = [name for name in dict.fromkeys(required) if name not in properties]
    if missing and "additionalProperties" in schema and more is False:
        place.refuse(f"{missing[0]!r} is required, but no property of that name is allowed", "required")
    rest = more if isinstance(more, dict) else True
    properties = {**properties, **dict.fromkeys(missing, rest)}
    few, many = place.count("minProperties"), place.count("maxProperties")
    if few and few > len(set(required)):
        place.refuse("more than the required properties is not supported", "minProperties")
    if many is not None and (more is not False or many < len(properties)):
        place.refuse("not supported", "maxProperties")
    return properties, required, rest if more is not False else False


def _other_key(place: Place, names: list[str]) -> str:
    """A key that is none of `names`, spelled without escapes."""
    if not names:
        return place.writer.primitive("string")
    plain = '"\\\x7f' + "".join(map(chr, range(1, 32)))
    names = [name for name in names if not any(c in plain + "\0" for c in name)]  # the others need an escape
    unsafe = char_class(plain, negated=True)
    place.writer.primitive("char")

    def node(rest: list[str]) -> str:
        """After a common beginning: what may follow so that the whole is none of `rest`."""
        heads: dict[str, list[str]] = {}
        for name in rest:
            if name:
                heads.setdefault(name[0], []).append(name[1:])
        options = [f"{literal(head)} {node(tails)}" for head, tails in heads.items()]
        options.append(f"{char_class(plain + ''.join(heads), negated=True)} {unsafe}*" if heads else f"{unsafe}+")
        body = " | ".join(options)
        return place.writer.rule(f"{place.wish}-key", body if "" in rest else f"({body})?")

    return f'"\\"" {node(names)} "\\""'
