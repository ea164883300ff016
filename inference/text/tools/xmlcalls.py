"""The parser of calls that are written as tags: `<function=name>`, `<parameter=key>`, a value, and their ends.

Where a grammar binds the answer nothing else can follow; where none does, what stands between the tags is nobody's. A
call is told with its name, its arguments as its parameters end, and those that are text as they are written.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping
from typing import Any

from mongarsd.inference.text.tools.base import MAX_CALLS, Call, Said, overlap

FUNCTION, FUNCTION_END = "<function=", "</function>"
PARAMETER, VALUE_END = "<parameter=", "\n</parameter>"
_TAG_END = VALUE_END.strip()
_PARAMETER = re.compile(rf"{PARAMETER}([^>\n]+)>")
#: JSON Schema's words for what JSON decodes to.
_TYPES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}
#: With one of these a string is written as JSON, which a grammar can bind to them.
_BINDING = {"pattern", "format", "minLength", "maxLength", "$ref", "allOf", "anyOf", "oneOf", "not"}


class _At(enum.Enum):
    CONTENT = enum.auto()  # outside of calls
    CLOSE = enum.auto()  # after a call, whose closing tag may follow
    CALL = enum.auto()  # between parameters
    VALUE = enum.auto()  # in one that is read when it is whole
    LEAD = enum.auto()  # at the beginning of one that is told as it comes
    TEXT = enum.auto()  # in it


class XmlCalls:
    def __init__(self, names: Mapping[str, Any], open_: str, close: str) -> None:
        """`names`: tools, and the schemas of their arguments. Around a call may stand `open_` and `close`."""
        self._schemas, self._open, self._close = names, open_, close
        self._heads = [f"{FUNCTION}{name}>" for name in names]
        some = "|".join(map(re.escape, names))
        self._head = re.compile(rf"(?:{re.escape(open_)}\s*)?{FUNCTION}({some})>")
        self._text = ""  # not told yet
        self._at = _At.CONTENT
        self._calls = 0
        self._spent = False  # a call was read: white space after it is nobody's
        self._tool: Mapping[str, Any] = {}  # schemas by parameter
        self._key = ""
        self._known: set[str] = set()  # parameters of the call so far: the first of a name counts

    def feed(self, text: str) -> Said:
        self._text += text
        return self._read(final=False)

    def finish(self) -> Said:
        return self._read(final=True)

    def _read(self, *, final: bool) -> Said:
        content: list[str] = []
        calls: list[Call] = []
        while self._text and self._step(content, calls, final):
            pass
        return Said("".join(content), tuple(calls))

    def _step(self, content: list[str], calls: list[Call], final: bool) -> bool:
        """Take what is certain off the text; False = more is needed."""
        match self._at:
            case _At.CONTENT:
                return self._content(content, calls, final)
            case _At.CLOSE:
                return self._closing(final)
            case _At.CALL:
                return self._parameters(calls)
            case _At.VALUE:
                return self._value(calls)
            case _At.LEAD:
                return self._lead()
            case _At.TEXT:
                return self._piece(calls)

    def _content(self, content: list[str], calls: list[Call], final: bool) -> bool:
        match = self._head.search(self._text) if self._calls < MAX_CALLS else None
        end = match.start() if match else len(self._text) if final else self._certain()
        said = self._text[:end]
        if self._spent and not said.strip():
            if match is None:
                return False  # if no other call comes, nobody misses it
        elif said:
            content.append(said)
            self._spent = False
        self._text = self._text[end:]
        if match is None:
            return False
        parameters = self._schemas[match[1]] or {}
        properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
        self._tool = properties if isinstance(properties, Mapping) else {}
        self._text = self._text[match.end() - end :]
        self._at, self._known = _At.CALL, set()
        self._calls += 1
        calls.append(Call(match[1], ""))
        return True

    def _certain(self) -> int:
        """Characters that are text whatever follows."""
        if self._calls >= MAX_CALLS:
            return len(self._text)
        at = -1
        while (at := self._text.find("<", at + 1)) >= 0:
            rest = self._text[at:]
            if rest.startswith(self._open):
                rest = rest[len(self._open) :].lstrip()
            elif self._open.startswith(rest):
                return at
            if any(head.startswith(rest) for head in self._heads):
                return at
        return len(self._text)

    def _closing(self, final: bool) -> bool:
        rest = self._text.lstrip()
        if self._close.startswith(rest) and rest != self._close:
            if final:
                self._text = ""
            return False
        self._text = rest.removeprefix(self._close)
        self._at, self._spent = _At.CONTENT, True
        return True

    def _parameters(self, calls: list[Call]) -> bool:
        rest = self._text = self._text[max(self._text.find("<"), 0) :] if "<" in self._text else ""
        if rest.startswith(FUNCTION_END):
            calls.append(Call("", "}" if self._known else "{}"))
            self._text, self._at = rest[len(FUNCTION_END) :], _At.CLOSE
            return True
        if match := _PARAMETER.match(rest):
            self._key, self._text = match[1], rest[match.end() :]
            self._at = _At.VALUE
            if self._key not in self._known and texts_only(self._tool.get(self._key)):
                calls.append(Call("", self._next() + '"'))
                self._at = _At.LEAD
            return True
        begun = rest.startswith(PARAMETER) and "\n" not in rest and ">" not in rest
        if not rest or begun or PARAMETER.startswith(rest) or FUNCTION_END.startswith(rest):
            return False
        self._text = rest[1:]
        return True

    def _value(self, calls: list[Call]) -> bool:
        end = self._text.find(_TAG_END)
        if end < 0:
            return False
        raw = self._text[:end].removeprefix("\n").removesuffix("\n")
        if self._key not in self._known:
            calls.append(Call("", self._next() + _json(raw, self._tool.get(self._key))))
        self._text, self._at = self._text[end + len(_TAG_END) :], _At.CALL
        return True

    def _lead(self) -> bool:
        self._text, self._at = self._text.removeprefix("\n"), _At.TEXT
        return True

    def _piece(self, calls: list[Call]) -> bool:
        end = self._text.find(_TAG_END)
        if end >= 0:
            calls.append(Call("", _escaped(self._text[:end].removesuffix("\n")) + '"'))
            self._text, self._at = self._text[end + len(_TAG_END) :], _At.CALL
            return True
        certain = len(self._text) - max(overlap(self._text, VALUE_END), overlap(self._text, _TAG_END))
        if certain:
            calls.append(Call("", _escaped(self._text[:certain])))
            self._text = self._text[certain:]
        return False

    def _next(self) -> str:
        """What stands before the value of the next parameter."""
        before = ", " if self._known else "{"
        self._known.add(self._key)
        return f"{before}{json.dumps(self._key, ensure_ascii=False)}: "


def texts_only(schema: Any) -> bool:
    """Is a value of it written as plain text?"""
    if not isinstance(schema, Mapping) or schema.keys() & _BINDING:
        return False
    some = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(some, list):
        return bool(some) and all(isinstance(one, str) for one in some) and schema.get("type", "string") == "string"
    return schema.get("type") == "string"


def _json(raw: str, schema: Any) -> str:
    """JSON as it was written, text where it is none, or none of the schema's types."""
    types = schema.get("type") if isinstance(schema, Mapping) else None
    allowed = [types] if isinstance(types, str) else types if isinstance(types, list) else []
    try:
        kind = _TYPES[type(json.loads(raw, parse_constant=_refuse))]
    except (ValueError, RecursionError):
        return json.dumps(raw, ensure_ascii=False)
    if kind in allowed or "string" not in allowed or (kind == "integer" and "number" in allowed):
        return raw.strip()
    return json.dumps(raw, ensure_ascii=False)


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity are no JSON


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
