"""The parser of all formats whose calls are JSON, alone or between tags."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence

from mongarsd.inference.text.tools.base import MAX_CALLS, Call, Said, overlap, to_call
from mongarsd.inference.text.tools.bound import BoundCalls, json_head


class JsonCalls:
    """`opens` begin calls anywhere; with `bare`, an answer that begins with { (or [) is a call too.

    After an open tag come JSON objects or lists of them, then perhaps one of `closes`. What turns out to be no call is
    text, tags and all. Where a grammar binds the answer (after `bound`) nothing can, so calls come in pieces there.
    """

    def __init__(
        self,
        names: Collection[str],
        *,
        opens: Sequence[str],
        closes: Sequence[str] = (),
        bare: bool,
        bound: str | None,
        head: re.Pattern[str] | None = None,
    ) -> None:
        """`head` is how a bound call begins, as `BoundCalls` wants it."""
        self._names, self._opens, self._closes = names, opens, closes
        self._bound, self._head = bound, head or json_head(names)
        self._rest = BoundCalls(self._head) if bound == "" else None  # reads all that is to come
        self._bare = bare  # nothing but white space so far
        self._text = ""  # not given yet
        self._inside = False
        self._raw = ""  # what the open call looked like so far: shown if it is none
        self._calls = 0
        self._spent = False  # a call was read: white space and separators around it are nobody's

    def feed(self, text: str) -> Said:
        if self._rest:
            return self._rest.feed(text)
        self._text += text
        said = self._read(final=False)
        if self._rest:  # just now: what follows the tag is its
            text, self._text = self._text, ""
            more = self._rest.feed(text)
            said = Said(said.content + more.content, said.calls + more.calls)
        return said

    def finish(self) -> Said:
        return self._rest.finish() if self._rest else self._read(final=True)

    def _read(self, *, final: bool) -> Said:
        content: list[str] = []
        calls: list[Call] = []
        while self._text:
            before = (len(self._text), self._inside)
            if self._inside:
                self._read_inside(content, calls, final)
            else:
                self._read_content(content, final)
            if self._rest:
                return Said("".join(content), tuple(calls))
            if (len(self._text), self._inside) == before:
                break
        if final and (self._text or self._raw) and not self._spent:
            content.append(self._raw + self._text)
        elif final and self._text.strip():
            content.append(self._text)
        if final:
            self._text = self._raw = ""
        return Said("".join(content), tuple(calls))

    def _read_content(self, content: list[str], final: bool) -> None:
        text = self._text
        lead = len(text) - len(text.lstrip())
        if self._bare and lead == len(text) and not final:
            return
        if self._bare and text[lead : lead + 1] in ("{", "["):
            self._open(text[:lead], text[lead:])
            return
        found = min(((at, tag) for tag in self._opens if (at := text.find(tag)) >= 0), default=None)
        if found:
            self._say(content, text[: found[0]])
            self._open(found[1], text[found[0] + len(found[1]) :])
            if found[1] == self._bound:
                self._rest = BoundCalls(self._head, self._bound)
            return
        hold = 0 if final else max((overlap(text, tag) for tag in self._opens), default=0)
        if self._spent and not text[: len(text) - hold].strip():
            return  # between two calls; if no other comes, nobody misses it
        self._say(content, text[: len(text) - hold])
        self._text = text[len(text) - hold :]
        if text[: len(text) - hold].strip():
            self._bare = False

    def _say(self, content: list[str], text: str) -> None:
        if self._spent and not text.strip():
            return
        content.append(text)
        if text:
            self._spent = False

    def _open(self, raw: str, rest: str) -> None:
        self._inside, self._raw, self._text, self._bare, self._spent = True, raw, rest, False, False

    def _read_inside(self, content: list[str], calls: list[Call], final: bool) -> None:
        stripped = self._text.lstrip(" \t\r\n" + (";," if self._spent else ""))
        if not stripped:
            return
        for close in self._closes:
            if stripped.startswith(close):
                self._inside, self._text = False, stripped[len(close) :]
                if not self._spent:
                    content.append(self._raw + close)
                self._raw, self._spent = "", True
                return
            if close.startswith(stripped) and not final:
                return
        if stripped[0] not in "{[":
            if not self._spent:
                content.append(self._raw)
            self._inside, self._raw = False, ""
            return
        end = json_end(stripped)
        if end is None:
            return
        found = self._decode(stripped[:end])
        if found and self._calls + len(found) <= MAX_CALLS:
            calls += found
            self._calls += len(found)
            self._raw, self._spent, self._text = "", True, stripped[end:]
            return
        content.append(self._raw + self._text[: len(self._text) - len(stripped) + end])
        self._inside, self._raw, self._spent, self._text = False, "", False, stripped[end:]

    def _decode(self, text: str) -> list[Call]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return []
        found = [to_call(one, self._names) for one in (value if isinstance(value, list) else [value])]
        calls = [call for call in found if call]
        return calls if len(calls) == len(found) else []


def json_end(text: str) -> int | None:
    """Where the JSON object or list at the start of `text` ends; None if it is not complete."""
    depth, quoted, escaped = 0, False, False
    for index, character in enumerate(text):
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            quoted = True
        elif character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
            if depth == 0:
                return index + 1
    return None
