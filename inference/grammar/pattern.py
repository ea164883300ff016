"""Simple regular expressions (JSON schema's `pattern`) as grammar: what a string between its quotes may be.

Known: literals, `.`, sets, `\\d \\w \\s` and their opposites, groups, `|`, `* + ? {n,m}`, and `^ $` at the very ends.
"""

from __future__ import annotations

import re
from typing import NoReturn

from mongarsd.inference.grammar.gbnf import MAX_REPEAT
from mongarsd.inference.grammar.rules import class_char, literal

MAX_PATTERN = 1000  # characters
_SETS = {"d": "0-9", "w": "0-9A-Za-z_", "s": " "}  # of white space only what needs no escape in JSON
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_UNSAFE = '"\\\\\\x01-\\x1F\\x7F'  # never as they are inside a JSON string
_TIMES = re.compile(r"\{(\d{1,4})(,(\d{1,4})?)?\}")


class Unsupported(ValueError):
    """The reason, for the one who wrote the pattern."""


def translate(pattern: str) -> str:
    """A GBNF expression; uses the rule `char`. Raises Unsupported."""
    if len(pattern) > MAX_PATTERN:
        raise Unsupported(f"{len(pattern)} characters are too many, {MAX_PATTERN} are the limit")
    begins = pattern.startswith("^")
    ends = pattern.endswith("$") and (len(pattern) - len(pattern[:-1].rstrip("\\")) - 1) % 2 == 0
    inner = pattern[begins : len(pattern) - ends]
    if "|" in inner and (begins or ends):
        _no_open_choice(inner)
    body = _Translator(inner).translate()
    return " ".join(filter(None, ["" if begins else "char*", f"({body})", "" if ends else "char*"]))


def _no_open_choice(inner: str) -> None:
    depth, escaped, in_set = 0, False, False
    for character in inner:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif in_set:
            in_set = character != "]"
        elif character == "[":
            in_set = True
        else:
            depth += {"(": 1, ")": -1}.get(character, 0)
            if character == "|" and depth == 0:
                raise Unsupported("^ and $ bind closer than |: put the alternatives into brackets")


class _Translator:
    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0

    def translate(self) -> str:
        body = self._choice()
        if self._at < len(self._text):
            self._fail("an unexpected )")
        return body

    def _choice(self) -> str:
        self._depth += 1
        if self._depth > 16:
            self._fail("brackets nested more than 16 deep")
        options = [self._sequence()]
        while self._next("|"):
            options.append(self._sequence())
        self._depth -= 1
        return " | ".join(options)

    def _sequence(self) -> str:
        items = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            items.append(self._item() + self._times())
        return " ".join(items) or '""'

    def _item(self) -> str:
        character = self._take()
        if character == "(":
            if self._next("?") and not self._next(":"):
                self._fail("look-around and named groups are not supported")
            inner = self._choice()
            if not self._next(")"):
                self._fail("a bracket that is not closed")
            return f"({inner})"
        if character == "[":
            return self._set()
        if character == ".":
            return f"[^{_UNSAFE}]"
        if character in "*+?{}^$":
            self._fail(f"an unexpected {character}")
        if character == "\\":
            return self._escape()
        return _one(character)

    def _escape(self) -> str:
        character = self._take()
        if character in _SETS:
            return f"[{_SETS[character]}]"
        if character.lower() in _SETS:
            return f"[^{_SETS[character.lower()]}{_UNSAFE}]"
        if character in _ESCAPES:
            return _one(_ESCAPES[character])
        if character.isalnum():
            self._fail(f"\\{character} is not supported")
        return _one(character)

    def _set(self) -> str:
        negated = self._next("^")
        parts: list[str] = []
        quote = backslash = False
        first = True
        while first or not self._next("]"):
            first = False
            character = self._take()
            if character == "\\":
                character = self._take()
                if character in _SETS:
                    parts.append(_SETS[character])
                    continue
                if character.isalnum() and character not in _ESCAPES:
                    self._fail(f"\\{character} in a set is not supported")
                character = _ESCAPES.get(character, character)
            last = character
            if self._text[self._at : self._at + 1] == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                last = self._take()
                if last == "\\":
                    last = self._take()
                if last < character:
                    self._fail("a range that ends before it begins")
            if not negated and any(character <= unsafe <= last for unsafe in '"\\'):
                quote |= character <= '"' <= last
                backslash |= character <= "\\" <= last
                if character == last:
                    continue
                self._fail('a range across " or \\ is not supported')
            if not negated and character < " ":
                self._fail("control characters in a set are not supported")
            parts.append(class_char(character) if character == last else f"{class_char(character)}-{class_char(last)}")
        if negated:
            return f"[^{''.join(parts)}{_UNSAFE}]"
        options = [f"[{''.join(parts)}]"] if parts else []
        options += [r'"\\\""'] if quote else []
        options += [r'"\\\\"'] if backslash else []
        return f"({' | '.join(options)})" if len(options) > 1 else options[0]

    def _times(self) -> str:
        if self._at >= len(self._text) or self._text[self._at] not in "*+?{":
            return ""
        if self._text[self._at] != "{":
            times = self._take()
        elif match := _TIMES.match(self._text, self._at):
            self._at = match.end()
            if max(int(match[1]), int(match[3] or 0)) > MAX_REPEAT:
                self._fail(f"a repetition of more than {MAX_REPEAT}")
            times = match[0]
        else:
            self._fail("expected {n}, {n,} or {n,m}")
        self._next("?")  # lazy or not: the same texts
        return times

    def _take(self) -> str:
        if self._at >= len(self._text):
            self._fail("it ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _next(self, character: str) -> bool:
        found = self._text.startswith(character, self._at)
        self._at += found
        return found

    def _fail(self, why: str) -> NoReturn:
        raise Unsupported(f"{why} (at character {self._at})")


def _one(character: str) -> str:
    """One character as JSON spells it."""
    if character in '"\\':
        return literal("\\" + character)
    spelled = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\f": "\\f"}.get(character)
    if spelled is None and character < " ":
        raise Unsupported("control characters are not supported")
    return literal(spelled or character)
