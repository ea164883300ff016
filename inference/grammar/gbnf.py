"""GBNF, llama.cpp's grammar notation: text to tree, with limits, so that no hostile grammar reaches native code.

Token references (`<[1]>`, `<name>`) are refused: they tie a grammar to one vocabulary.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

from mongarsd.ground.errors import BadRequest

MAX_TEXT = 128 * 1024  # characters
MAX_RULES = 4000
MAX_NESTING = 64  # of brackets; llama.cpp's parser recurses on them
MAX_TIMES = 3  # repetitions of repetitions of one item: they nest as brackets do
MAX_REPEAT = 1000  # llama.cpp writes x{n} out as n copies, and gives up at 2,000
MAX_ELEMENTS = 100_000  # of all rules, with repetitions written out


@dataclass(frozen=True)
class Literal:
    text: str


@dataclass(frozen=True)
class Chars:
    """One character out of `ranges` (first, last), or out of none of them. No ranges, negated: any character."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    @cached_property
    def edges(self) -> tuple[int, ...]:
        """Where one goes into `ranges` and out of them, in turn, as code points: a set may have thousands."""
        edges: list[int] = []
        for first, last in sorted(self.ranges):
            if edges and ord(first) <= edges[-1]:
                edges[-1] = max(edges[-1], ord(last) + 1)
            else:
                edges += [ord(first), ord(last) + 1]
        return tuple(edges)

    def holds(self, character: str) -> bool:
        return (bisect_right(self.edges, ord(character)) % 2 == 1) != self.negated

    def meets(self, first: str, last: str) -> bool:
        """Do `ranges` have a character of first … last? Excluded ones: have they none?"""
        place = bisect_right(self.edges, ord(first))
        within = place % 2 == 1 or (place < len(self.edges) and self.edges[place] <= ord(last))
        return within != self.negated


@dataclass(frozen=True)
class Ref:
    name: str


@dataclass(frozen=True)
class Sequence:
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    options: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    item: Node
    least: int
    most: int | None


Node = Literal | Chars | Ref | Sequence | Choice | Repeat
Rules = dict[str, Node]

_NAME = re.compile(r"[a-zA-Z0-9-]+")
_BLANK = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_TIMES = re.compile(r"\{[ \t]*(\d{1,9})[ \t]*(,[ \t]*(\d{1,9})?[ \t]*)?\}")
_HEX = {"x": 2, "u": 4, "U": 8}
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}


def parse(text: str, param: str = "grammar") -> Rules:
    """The rules by name, in order. Raises BadRequest that says where and why."""
    if len(text) > MAX_TEXT:
        raise BadRequest(f"{param}: {len(text)} characters are too many, {MAX_TEXT} are the limit", param=param)
    return _Parser(text, param).rules()


class _Parser:
    def __init__(self, text: str, param: str) -> None:
        self._text, self._param = text, param
        self._at = 0
        self._depth = 0

    def rules(self) -> Rules:
        rules: Rules = {}
        self._skip(_SPACE)
        while self._at < len(self._text):
            name = self._match(_NAME, "the name of a rule")
            self._skip(_BLANK)
            if not self._text.startswith("::=", self._at):
                self._fail("expected ::=")
            self._at += 3
            self._skip(_SPACE)
            if name in rules:
                self._fail(f"the rule {name} is there twice")
            rules[name] = self._choice(nested=False)
            if self._at < len(self._text) and self._text[self._at] not in "\r\n":
                self._fail("expected the end of the rule")
            self._skip(_SPACE)
            if len(rules) > MAX_RULES:
                self._fail(f"more than {MAX_RULES} rules")
        return rules

    def _choice(self, *, nested: bool) -> Node:
        self._depth += 1
        if self._depth > MAX_NESTING:
            self._fail(f"brackets nested more than {MAX_NESTING} deep")
        options = [self._sequence(nested)]
        while self._peek() == "|":
            self._at += 1
            self._skip(_SPACE)
            options.append(self._sequence(nested))
        self._depth -= 1
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self, nested: bool) -> Node:
        items: list[Node] = []
        while (item := self._item()) is not None:
            self._skip(_SPACE if nested else _BLANK)
            times = 0
            while self._peek() and self._peek() in "*+?{":
                times += 1
                if times > MAX_TIMES:
                    self._fail(f"more than {MAX_TIMES} repetitions of repetitions")
                item = Repeat(item, *self._times())
                self._skip(_SPACE if nested else _BLANK)
            items.append(item)
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _item(self) -> Node | None:
        character = self._peek()
        if character == '"':
            self._at += 1
            return Literal(self._quoted())
        if character == "[":
            self._at += 1
            return self._chars()
        if character == ".":
            self._at += 1
            return Chars((), negated=True)
        if character == "(":
            self._at += 1
            self._skip(_SPACE)
            inner = self._choice(nested=True)
            if self._peek() != ")":
                self._fail("expected )")
            self._at += 1
            return inner
        if character in ("<", "!"):
            self._fail("token references are not supported")
        if match := _NAME.match(self._text, self._at):
            self._at = match.end()
            return Ref(match[0])
        return None

    def _times(self) -> tuple[int, int | None]:
        character = self._text[self._at]
        if character != "{":
            self._at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[character]
        match = _TIMES.match(self._text, self._at)
        if not match:
            self._fail("expected {n}, {n,} or {n,m}")
        least = int(match[1])
        most = least if match[2] is None else int(match[3]) if match[3] else None
        if max(least, most or 0) > MAX_REPEAT:
            self._fail(f"a repetition of more than {MAX_REPEAT}")
        if most is not None and most < least:
            self._fail("a repetition of less than its least")
        self._at = match.end()
        return least, most

    def _quoted(self) -> str:
        text: list[str] = []
        while self._peek() != '"':
            text.append(self._character())
        self._at += 1
        return "".join(text)

    def _chars(self) -> Chars:
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[tuple[str, str]] = []
        while self._peek() != "]":
            first = last = self._character(least=0)  # no text has it, yet llama.cpp's own json.gbnf names it
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                last = self._character(least=0)
                if last < first:
                    self._fail("a range of characters that ends before it begins")
            ranges.append((first, last))
        self._at += 1
        if not ranges:
            self._fail("an empty set of characters")
        return Chars(tuple(ranges), negated)

    def _character(self, least: int = 1) -> str:
        character = self._peek()
        if character in ("", "\0"):
            self._fail("the text ends inside a literal or a set")
        self._at += 1
        if character != "\\":
            return character
        escape = self._peek()
        self._at += 1
        if size := _HEX.get(escape):
            digits = self._text[self._at : self._at + size]
            self._at += size
            if re.fullmatch(f"[0-9a-fA-F]{{{size}}}", digits) and least <= (code := int(digits, 16)) < 0x110000:
                return chr(code)
            self._fail(f"expected {size} hex digits of a character after \\{escape}")
        if escape not in _ESCAPES or escape == "":
            self._fail("an unknown escape")
        return _ESCAPES[escape]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if match := pattern.match(self._text, self._at):
            self._at = match.end()

    def _match(self, pattern: re.Pattern[str], what: str) -> str:
        match = pattern.match(self._text, self._at)
        if not match:
            self._fail(f"expected {what}")
        self._at = match.end()
        return match[0]

    def _fail(self, why: str) -> NoReturn:
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - (self._text.rfind("\n", 0, self._at) + 1) + 1
        raise BadRequest(f"{self._param}: line {line}, column {column}: {why}", param=self._param)
