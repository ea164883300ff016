"""FunctionGemma: `<start_function_call>call:name{key:<escape>text<escape>,n:1}<end_function_call>`."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mongarsd.inference.grammar.check import check
from mongarsd.inference.grammar.rules import literal
from mongarsd.inference.text.tools.base import MAX_CALLS, Call, Said

_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")
_WORDS = {"true": True, "false": False, "null": None, "None": None, "True": True, "False": False}


class FunctionGemma:
    name = "functiongemma"
    marks: tuple[str, ...] = ("<start_function_call>", "<end_function_call>", "<escape>")  # open, close, quote

    @property
    def opens(self) -> tuple[str, ...]:
        return self.marks[:1]

    def knows(self, template: str) -> bool:
        return self.marks[0] in template

    def grammar(self, tools: Sequence[Mapping[str, Any]], *, many: bool, opened: bool) -> str:
        """It binds the name; the arguments only to the notation."""
        names = " | ".join(literal(tool["function"]["name"]) for tool in tools)
        open_, close, quote = map(literal, self.marks)
        first = "call" if opened else f"{open_} call"
        more = f" ({open_} call){{0,{MAX_CALLS - 1}}}" if many else ""
        rules = [
            f"root ::= {first}{more}",
            f'call ::= "call:" ({names}) object {close}',
            'object ::= "{" (pair ("," pair)*)? "}"',
            'pair ::= [a-zA-Z0-9_.-]+ ":" value',
            'list ::= "[" (value ("," value)*)? "]"',
            f'value ::= object | list | {quote} [^<\\x01-\\x1F]* {quote} | number | "true" | "false" | "null"',
            'number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})?',
        ]
        text = "\n".join(rules) + "\n"
        check(text, "tools")
        return text

    def parser(self, names: Collection[str], *, bound: str | None) -> GemmaCalls:  # noqa: ARG002
        return GemmaCalls(names, *self.marks)


class GemmaCalls:
    def __init__(self, names: Collection[str], open_: str, close: str, quote: str) -> None:
        self._names, self._open, self._close, self._quote = names, open_, close, quote
        self._text = ""
        self._calls = 0

    def feed(self, text: str) -> Said:
        self._text += text
        return self._read(final=False)

    def finish(self) -> Said:
        return self._read(final=True)

    def _read(self, *, final: bool) -> Said:
        content, calls = "", list[Call]()
        while (start := self._text.find(self._open)) >= 0:
            end = self._text.find(self._close, start)
            if end < 0 and not final:
                content += self._text[:start]
                self._text = self._text[start:]
                return Said(content, tuple(calls))
            body = self._text[start + len(self._open) : end if end >= 0 else None]
            call = _call(body, self._names, self._quote) if self._calls < MAX_CALLS else None
            rest = self._text[end + len(self._close) :] if end >= 0 else ""
            content += self._text[:start] if call else self._text[: len(self._text) - len(rest)]
            self._calls += call is not None
            calls += [call] if call else []
            self._text = rest
        hold = 0
        if not final:
            sizes = range(min(len(self._open) - 1, len(self._text)), 0, -1)
            hold = next((size for size in sizes if self._open.startswith(self._text[-size:])), 0)
        content += self._text[: len(self._text) - hold]
        self._text = self._text[len(self._text) - hold :]
        return Said(content, tuple(calls))


def _call(body: str, names: Collection[str], quote: str) -> Call | None:
    match = re.fullmatch(r"\s*call:([A-Za-z0-9_.-]+)(\{.*\})\s*", body, re.DOTALL)
    if not match or match[1] not in names:
        return None
    try:
        value, end = _value(match[2], 0, quote)
    except (ValueError, IndexError, RecursionError):
        return None
    if end != len(match[2]) or not isinstance(value, dict):
        return None
    return Call(match[1], json.dumps(value, ensure_ascii=False))


def _value(text: str, at: int, quote: str) -> tuple[Any, int]:
    """The value at `at`, and where it ends. Raises ValueError, IndexError."""
    if text.startswith(quote, at):
        end = text.index(quote, at + len(quote))
        return text[at + len(quote) : end], end + len(quote)
    if text[at] == "{":
        members: dict[str, Any] = {}
        at += 1
        while text[at] != "}":
            key, _, _ = text[at:].partition(":")
            at += len(key) + 1
            members[key.strip().removeprefix(quote).removesuffix(quote)], at = _value(text, at, quote)
            at += text[at] == ","
        return members, at + 1
    if text[at] == "[":
        items: list[Any] = []
        at += 1
        while text[at] != "]":
            item, at = _value(text, at, quote)
            items.append(item)
            at += text[at] == ","
        return items, at + 1
    if number := _NUMBER.match(text, at):
        return json.loads(number[0]), number.end()
    for word, value in _WORDS.items():
        if text.startswith(word, at):
            return value, at + len(word)
    raise ValueError("no value")
