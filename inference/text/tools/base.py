"""The contract of a tool-call format: what it looks like, the grammar of a forced call, and its parser.

A parser's output depends on the characters alone, not on how they were cut. So a resumed job's parser is rebuilt by
feeding it the text that was released, and goes on where the lost one stood.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from mongarsd.inference.grammar.rules import literal
from mongarsd.inference.grammar.schema import SchemaRules

MAX_CALLS = 16  # in one answer
ANY_ARGUMENTS: dict[str, Any] = {"type": "object"}


class Call(NamedTuple):
    """A call, or the beginning of one; without a name, more of the arguments of the call before."""

    name: str
    arguments: str  # JSON text of an object; in pieces as the model writes them, where they are certain


class Said(NamedTuple):
    """What became certain."""

    content: str = ""
    calls: tuple[Call, ...] = ()


class Parser(Protocol):
    def feed(self, text: str) -> Said:
        """The next characters of the answer."""
        ...

    def finish(self) -> Said:
        """The answer is over: what was held back."""
        ...


class Format(Protocol):
    """Stateless."""

    @property
    def name(self) -> str: ...

    @property
    def opens(self) -> tuple[str, ...]:
        """Texts that begin a call and mean nothing else; () = none does."""
        ...

    @property
    def marks(self) -> tuple[str, ...]:
        """Names of control tokens that belong to a call: they count as text."""
        ...

    def knows(self, template: str) -> bool:
        """Is the chat template one of a model that calls tools like this?"""
        ...

    def grammar(self, tools: Sequence[Mapping[str, Any]], *, many: bool, opened: bool) -> str:
        """GBNF of one call, or of up to MAX_CALLS. `opened`: the first of `opens` has been said. Raises BadRequest."""
        ...

    def parser(self, names: Mapping[str, Any], *, bound: str | None) -> Parser:
        """`names` are the tools that may be called, and the schemas of their arguments; a call of any other is text.

        `bound`: the text after which `grammar` binds the answer; "" = from its start, None = nowhere.
        """
        ...


def tool_rules(tools: Sequence[Mapping[str, Any]], key: str = "arguments") -> tuple[SchemaRules, str]:
    """Rules, and the one of `{"name": …, "arguments": …}` of any of the tools. Raises BadRequest naming the tool."""
    rules = SchemaRules("tools")
    ws = rules.writer.primitive("ws")
    options = []
    for tool in tools:
        function = tool["function"]
        name = function["name"]
        schema = function.get("parameters") or ANY_ARGUMENTS
        arguments = rules.add(schema, f"tool {name}: parameters")
        head = literal('"name"') + f' {ws} ":" {ws} ' + literal(json.dumps(name))
        body = literal(f'"{key}"') + f' {ws} ":" {ws} {arguments}'
        options.append(rules.writer.rule(f"call-{name}", f'"{{" {ws} {head} {ws} "," {ws} {body} {ws} "}}"'))
    return rules, rules.writer.rule("call", " | ".join(options))


def to_call(value: Any, names: Collection[str]) -> Call | None:
    """A decoded `{"name", "arguments"}` (or "parameters") as a call; None if it is none."""
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("function"), dict):  # some models nest it as OpenAI's answers do
        value = value["function"]
    name, arguments = value.get("name"), value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return None
    if name not in names or not isinstance(arguments, dict):
        return None
    return Call(name, json.dumps(arguments, ensure_ascii=False))


def overlap(text: str, tag: str) -> int:
    """Characters at the end of `text` that may become `tag`."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if tag.startswith(text[-size:])), 0)
