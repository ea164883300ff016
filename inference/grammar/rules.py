"""Writing GBNF: quoting, repetitions, and the rules of plain JSON."""

from __future__ import annotations

import json
from typing import Any

#: White space a model may put between things: one space, or a new line with its indent. More invites endless blanks.
WS = '(" " | "\\n" " "{0,16})?'
#: One character of a string as JSON spells it. No lone surrogates: they are no text.
CHAR = (
    '[^"\\\\\\x7F\\x01-\\x1F] | "\\\\" '
    '(["\\\\/bfnrt] | "u" ([0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}))'
)
PRIMITIVES = {
    "ws": WS,
    "char": CHAR,
    "string": '"\\"" char* "\\""',
    "integer": '"-"? ("0" | [1-9] [0-9]{0,15})',
    "number": 'integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "value": "object | array | string | number | boolean | null",
    "object": '"{" ws (member ("," ws member)*)? "}"',
    "member": 'string ":" ws value ws',
    "array": '"[" ws (value ws ("," ws value ws)*)? "]"',
}
_USES = {
    "string": ("char",),
    "number": ("integer",),
    "value": ("object", "array", "string", "number", "boolean", "null"),
    "object": ("ws", "member"),
    "member": ("string", "value", "ws"),
    "array": ("ws", "value"),
}
BLOCK = 100  # a repetition beyond it is written as blocks: llama.cpp copies the item for each time
MOST = 100_000  # times; an answer is never longer


def literal(text: str) -> str:
    """`text` as a GBNF literal."""
    return '"' + "".join(_quoted(character) for character in text) + '"'


def json_literal(value: Any) -> str:
    """The one JSON spelling of `value` that is allowed, as a GBNF literal."""
    return literal(json.dumps(value, ensure_ascii=False, allow_nan=False))


def char_class(characters: str, *, negated: bool = False) -> str:
    return f"[{'^' if negated else ''}{''.join(class_char(character) for character in characters)}]"


def class_char(character: str) -> str:
    return f"\\x{ord(character):02X}" if character in "^-]\\[" else _quoted(character)


def _quoted(character: str) -> str:
    code = ord(character)
    if code < 32 or code == 127:
        return f"\\x{code:02X}"
    return "\\" + character if character in '"\\' else character


class Writer:
    """Rules in the order they were made; the first call of `name` decides who has the plain name."""

    def __init__(self) -> None:
        self._bodies: dict[str, str] = {}
        self._names: dict[str, int] = {}
        self._same: dict[str, str] = {}
        self.size = 0  # characters of all bodies

    def name(self, wish: str) -> str:
        """A free name like `wish`."""
        wish = "".join(c if c.isascii() and c.isalnum() else "-" for c in wish)[:40].strip("-") or "x"
        while True:
            count = self._names.get(wish, 0)
            self._names[wish] = count + 1
            name = f"{wish}-{count}" if count else wish
            if name not in self._bodies and name not in PRIMITIVES and name != "root":
                self._bodies[name] = ""
                return name

    def define(self, name: str, body: str) -> str:
        self.size += len(body) - len(self._bodies.get(name, ""))
        self._bodies[name] = body
        return name

    def rule(self, wish: str, body: str) -> str:
        """The rule of this body, made if there is none yet; its name."""
        if body not in self._same:
            self._same[body] = self.define(self.name(wish), body)
        return self._same[body]

    def primitive(self, name: str) -> str:
        if name not in self._bodies:
            self.define(name, PRIMITIVES[name])
            for used in _USES.get(name, ()):
                self.primitive(used)
        return name

    def times(self, wish: str, item: str, least: int, most: int | None) -> str:
        """`item`, the name of a rule or a bracketed one, from `least` to `most` times."""
        if most is not None and most >= MOST:
            most = None
        if most is None:
            more = f"{item}*"
        elif most - least <= BLOCK:
            more = f"{item}{{0,{most - least}}}" if most > least else ""
        else:  # full blocks, then a part of one; or all blocks, then what is left: never more than two ways to go on
            blocks, rest = divmod(most - least, BLOCK)
            block = self.rule(f"{wish}-block", f"{item}{{{BLOCK}}}")
            last = f" | {block}{{{blocks}}} {item}{{0,{rest}}}" if rest else ""
            more = f"({block}{{0,{blocks - 1}}} {item}{{0,{BLOCK}}}{last})"
        blocks, rest = divmod(least, BLOCK)
        first = []
        if blocks:
            first.append(f"{self.rule(f'{wish}-block', f'{item}{{{BLOCK}}}')}{{{blocks}}}")
        if rest:
            first.append(f"{item}{{{rest}}}")
        return " ".join([*first, more]).strip() or '""'

    def __len__(self) -> int:
        return len(self._bodies)

    def text(self, root: str) -> str:
        return "\n".join([f"root ::= {root}", *(f"{name} ::= {body}" for name, body in self._bodies.items())]) + "\n"
