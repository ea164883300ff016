"""Qwen3-Coder: `<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`, a line for each.

A value is plain text where its schema says string, JSON otherwise. So text needs no quoting, and comes in pieces.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.rules import char_class, literal
from mongarsd.inference.grammar.schema import SchemaRules
from mongarsd.inference.text.tools.base import ANY_ARGUMENTS, MAX_CALLS
from mongarsd.inference.text.tools.xmlcalls import FUNCTION, PARAMETER, VALUE_END, XmlCalls, texts_only

OPEN, CLOSE = "<tool_call>", "</tool_call>"
#: Ways through the `anyOf` of a tool's arguments.
MAX_SHAPES = 16


class QwenCoder:
    name = "qwen-coder"
    opens = (OPEN,)
    marks = (OPEN, CLOSE)

    def knows(self, template: str) -> bool:
        return FUNCTION in template and PARAMETER in template

    def grammar(self, tools: Sequence[Mapping[str, Any]], *, many: bool, opened: bool) -> str:
        """It binds names, and values to the schemas of theirs; of texts only an `enum`, not patterns and lengths.
        Parameters come in the schema's order."""
        rules = SchemaRules("tools")
        calls = [_call(rules, tool["function"]) for tool in tools]
        body = f'"\\n" ({" | ".join(calls)}) "\\n{CLOSE}"'
        one = rules.writer.rule("call", body)
        more = f' ("\\n{OPEN}" {one}){{0,{MAX_CALLS - 1}}}' if many else ""
        return rules.text(rules.writer.rule("calls", (one if opened else f'"{OPEN}" {one}') + more))

    def parser(self, names: Mapping[str, Any], *, bound: str | None) -> XmlCalls:  # noqa: ARG002
        return XmlCalls(names, OPEN, CLOSE)


def _call(rules: SchemaRules, function: Mapping[str, Any]) -> str:
    """The rule of a call of this tool, without the tags around it. Raises BadRequest."""
    name, schema = function["name"], function.get("parameters") or ANY_ARGUMENTS
    path = f"tool {name}: parameters"
    rules.add(schema, path)  # what cannot be read as a schema is refused, as for every other format
    plain = schema.get("properties", {})
    texts = {key for key, value in plain.items() if texts_only(value)}  # the parser looks no further
    ways = " | ".join(_parameters(rules, shape, texts, path) for shape in _shapes(rules, schema, path))
    return rules.writer.rule(f"call-{name}", f'{literal(f"{FUNCTION}{name}>")} "\\n" ({ways}) "</function>"')


def _shapes(rules: SchemaRules, schema: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """The objects that the schema allows, one for each way through its `anyOf` and `oneOf`. Raises BadRequest."""
    schema = rules.flat(schema, path)
    branches = schema.get("anyOf") or schema.get("oneOf")
    if not branches:
        return [schema]
    outer = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
    whole = [{"allOf": [outer, branch]} for branch in branches]
    if len(whole) > MAX_SHAPES:
        raise BadRequest(f"{path}: this model's notation has no room for {len(whole)} shapes of a call", param="tools")
    return [shape for one in whole for shape in _shapes(rules, one, path)]


def _parameters(rules: SchemaRules, shape: Mapping[str, Any], texts: Collection[str], path: str) -> str:
    parts = []
    if "properties" not in shape and (others := shape.get("additionalProperties", True)) is not False:
        value = _text(rules) if others is True else rules.part(others, f"{path}.additionalProperties")
        parts.append(f'("{PARAMETER}" [a-zA-Z0-9_.-]{{1,64}} ">\\n" {value} {literal(VALUE_END)} "\\n")*')
    for key, schema in shape.get("properties", {}).items():
        if any(mark in key for mark in ">\n"):
            raise BadRequest(f"{path}: this model cannot write the name {key!r}", param="tools")
        one = _parameter(rules, key, schema, key in texts, f"{path}.properties.{key}")
        parts.append(one if key in shape.get("required", ()) else f"({one})?")
    return " ".join(parts) or '""'


def _parameter(rules: SchemaRules, key: str, schema: Any, text: bool, path: str) -> str:
    if text:
        some = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else ()
        value = " | ".join(map(literal, some)) or _text(rules)
    else:
        value = rules.part(schema, path)
    return f'{literal(f"{PARAMETER}{key}>")} "\\n" ({value}) {literal(VALUE_END)} "\\n"'


def _text(rules: SchemaRules) -> str:
    """The rule of any text without `VALUE_END`'s tag in it: an automaton, a rule for each letter of the tag."""
    tag = VALUE_END.strip()
    names = [rules.writer.name(f"text-{at}") for at in range(len(tag))]
    for at, name in enumerate(names):
        options = [f"{char_class(tag[at] + '<' * (at > 0), negated=True)} {names[0]}", '""']
        if at + 1 < len(tag):
            options.append(f"{literal(tag[at])} {names[at + 1]}")
        if at:
            options.append(f'"<" {names[1]}')
        rules.writer.define(name, " | ".join(options))
    return names[0]
