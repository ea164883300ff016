"""Calls that a grammar binds: what begins as one cannot turn out to be none, so it is given as the model writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from mongarsd.inference.text.tools.base import MAX_CALLS, Call, Said


def json_head(names: Iterable[str]) -> re.Pattern[str]:
    """`{"name": …, "arguments":`, as `tool_rules` writes it."""
    some = "|".join(re.escape(json.dumps(name)) for name in names)
    return re.compile(rf'\{{\s*"name"\s*:\s*(?P<name>{some})\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{{)')


class BoundCalls:
    """What stands between calls (tags, commas, brackets) is nobody's. Text is only what was cut before its name."""

    def __init__(self, head: re.Pattern[str], opened: str = "") -> None:
        """`head` matches a call up to its arguments; the group `name` is the tool, quoted or not. `opened`: the tag
        that came before, shown if nothing follows it."""
        self._head = head
        self._text = opened  # seen, and not given yet
        self._arguments: _Object | None = None  # being read
        self._calls = 0

    def feed(self, text: str) -> Said:
        self._text += text
        calls: list[Call] = []
        while self._text:
            if self._arguments:
                size = self._arguments.feed(self._text)
                piece, self._text = self._text[:size], self._text[size:]
                name = calls.pop().name if calls and not calls[-1].arguments else ""
                calls.append(Call(name, piece))
                if self._arguments.ended:
                    self._arguments = None
            elif self._calls < MAX_CALLS and (match := self._head.search(self._text)):
                name = match["name"]
                calls.append(Call(json.loads(name) if name.startswith('"') else name, ""))
                self._text, self._arguments = self._text[match.end() :], _Object()
                self._calls += 1
            else:
                break
        return Said(calls=tuple(calls))

    def finish(self) -> Said:
        return Said("" if self._calls else self._text)


class _Object:
    """Counts brackets until the JSON object is whole."""

    def __init__(self) -> None:
        self._depth, self._quoted, self._escaped = 0, False, False
        self.ended = False

    def feed(self, text: str) -> int:
        """How many characters of `text` are the object's."""
        for index, character in enumerate(text):
            if self._quoted:
                self._quoted = self._escaped or character != '"'
                self._escaped = character == "\\" and not self._escaped
            elif character == '"':
                self._quoted = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if not self._depth:
                    self.ended = True
                    return index + 1
        return len(text)
