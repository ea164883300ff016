"""A JSON schema as a grammar: every text the grammar accepts is JSON that validates against the schema.

The grammar may accept less than the schema: properties come in the order the schema names them; an object that names
properties and says nothing of others has no others; strings spell few escapes; numbers have at most 16 digits. What
cannot be promised is refused with its path and the reason, never ignored.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NoReturn

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.arrays import array
from mongarsd.inference.grammar.bounds import integer, number
from mongarsd.inference.grammar.check import check, unproductive
from mongarsd.inference.grammar.disjoint import Pairs, TooMany
from mongarsd.inference.grammar.gbnf import MAX_RULES, MAX_TEXT, parse
from mongarsd.inference.grammar.kinds import OF_TYPE, kinds, values
from mongarsd.inference.grammar.merge import ANNOTATIONS, Conflict, merge
from mongarsd.inference.grammar.objects import object_
from mongarsd.inference.grammar.place import Place, refuse, several, wish
from mongarsd.inference.grammar.rules import Writer
from mongarsd.inference.grammar.strings import string

MAX_DEPTH = 48  # of the schema; `$ref` does not count, it is not followed twice
MAX_SCHEMAS = 4000  # sub-schemas
_BODY = {"object": object_, "array": array, "string": string, "integer": integer, "number": number}
KNOWN = frozenset("type enum const anyOf oneOf allOf $ref nullable".split()).union(ANNOTATIONS, *OF_TYPE.values())
#: Refused only when they say something.
_EMPTY = {"uniqueItems": False, "patternProperties": {}, "dependentRequired": {}, "propertyNames": {}, "not": False}


def compile_schema(schema: Any, *, param: str = "json_schema", path: str | None = None) -> str:
    """GBNF whose `root` is the schema's JSON. Raises BadRequest naming the path (`path`, then keys of the schema)."""
    builder = SchemaRules(param)
    return builder.text(builder.add(schema, path or param))


class SchemaRules:
    """Rules for one grammar of one or several schemas."""

    def __init__(self, param: str) -> None:
        self.writer = Writer()
        self._param = param
        self._root: Any = None
        self._base = ""
        self._targets: dict[tuple[int, str], str] = {}
        self._paths: dict[str, str] = {}
        self._count = 0
        self._pairs = Pairs()
        self._forks = False  # may two branches begin alike?

    def add(self, schema: Any, path: str) -> str:
        """The rule of a whole schema: `$ref` inside is relative to it. Raises BadRequest."""
        self._root, self._base = schema, path
        return self.part(schema, path)

    def part(self, schema: Any, path: str) -> str:
        """The rule of a schema within the one that was added last. Raises BadRequest."""
        try:
            return self._schema(schema, path, MAX_DEPTH)
        except RecursionError:
            raise BadRequest(f"{path}: nested too deeply", param=self._param) from None

    def text(self, root: str) -> str:
        """The checked grammar. Raises BadRequest."""
        text = self.writer.text(root)
        if len(text) > MAX_TEXT or len(self.writer) > MAX_RULES:
            raise BadRequest(f"{self._base}: the schema is too large ({len(text)} bytes of grammar)", param=self._param)
        if endless := [name for name in unproductive(parse(text, self._param)) if name in self._paths]:
            self._refuse(self._paths[endless[0]], "recursive without an end: some branch must do without it")
        check(text, self._param, forks=self._forks)
        return text

    def _schema(self, schema: Any, path: str, depth: int) -> str:
        """The name of a rule."""
        self._count += 1
        if depth == 0:
            self._refuse(path, f"nested more than {MAX_DEPTH} levels deep")
        if self._count > MAX_SCHEMAS or self.writer.size > MAX_TEXT:
            self._refuse(path, "the schema is too large")
        if schema is True or schema == {}:
            return self.writer.primitive("value")
        if schema is False:
            self._refuse(path, "the schema false allows nothing")
        if not isinstance(schema, dict):
            self._refuse(path, "a schema is an object, true or false")
        if isinstance(schema.get("$ref"), str) and not set(schema) - ANNOTATIONS - {"$ref"}:
            return self._ref(schema["$ref"], path, depth)
        schema = self.flat(schema, path)
        self._known(schema, path)
        name = self.writer.rule(wish(path), " | ".join(self._options(schema, path, depth)))
        self._paths.setdefault(name, path)
        return name

    def flat(self, schema: dict[str, Any], path: str) -> dict[str, Any]:
        """A schema within the one that was added last, without `$ref` and `allOf`: all their keywords in one. Raises
        BadRequest."""
        for _ in range(MAX_DEPTH):
            parts: list[Any] = [{key: value for key, value in schema.items() if key not in ("$ref", "allOf")}]
            if isinstance(schema.get("$ref"), str):
                parts.append(self._target(schema["$ref"], path))
            if "allOf" in schema:
                parts += self._list(schema["allOf"], f"{path}.allOf")
            if len(parts) == 1:
                return schema
            parts = [part for part in parts if part is not True and part != {}]
            if not all(isinstance(part, dict) for part in parts):
                self._refuse(path, "allOf: a schema is an object")
            refs = [part["$ref"] for part in parts if "$ref" in part]
            inner = [self._list(part["allOf"], f"{path}.allOf") for part in parts[1:] if "allOf" in part]
            nested = [one for members in inner for one in members]
            try:
                schema = merge([{k: v for k, v in part.items() if k not in ("$ref", "allOf")} for part in parts])
            except (Conflict, AttributeError, TypeError) as error:
                self._refuse(path, f"allOf: {error}")
            if more := [*({"$ref": ref} for ref in refs), *nested]:
                schema["allOf"] = more
            self._count += len(more)
            if self._count > MAX_SCHEMAS:
                self._refuse(path, "the schema is too large")
        return self._refuse(path, "allOf or $ref that contains itself")

    def _known(self, schema: dict[str, Any], path: str) -> None:
        for key, value in schema.items():
            if key in _EMPTY and value in (_EMPTY[key], True if key == "propertyNames" else _EMPTY[key]):
                continue
            if key in KNOWN or key.startswith("x-"):
                continue
            self._refuse(path, f"{key[:60]} is not supported")

    def _options(self, schema: dict[str, Any], path: str, depth: int) -> Iterator[str]:
        place = Place(schema, path, self._param, self.writer, functools.partial(self._schema, depth=depth - 1))
        if "const" in schema or "enum" in schema:
            yield from values(place)
            return
        for key in ("anyOf", "oneOf"):
            if key in schema:
                yield from self._branches(key, place)
                return
        self._forks = self._forks or "pattern" in schema
        for kind in kinds(place):
            yield _BODY[kind](place) if kind in _BODY else self.writer.primitive(kind)

    def _branches(self, key: str, place: Place) -> Iterator[str]:
        self._forks = True
        schema, branches = place.schema, place.several(key)
        beside = {k: v for k, v in schema.items() if k not in ANNOTATIONS and k not in (key, "nullable")}
        if key == "oneOf":
            flat = [self.flat(branch, place.path) if isinstance(branch, dict) else branch for branch in branches]
            try:
                both = self._pairs.overlap(flat)
            except TooMany:
                place.refuse("oneOf: too many branches to compare them all; use anyOf")
            if both:
                why = "so only one cannot be promised; use anyOf"
                place.refuse(f"oneOf: a value may fit both {both[0]} and {both[1]}, {why}")
        for i, branch in enumerate(branches):
            whole = {"allOf": [beside, branch]} if beside else branch
            yield place.compile(whole, f"{place.path}.{key}[{i}]")
        if schema.get("nullable") is True:
            yield self.writer.primitive("null")

    def _ref(self, ref: str, path: str, depth: int) -> str:
        key = (id(self._root), ref)
        if key not in self._targets:
            target = self._target(ref, path)
            name = self._targets[key] = self.writer.name(wish(ref.rpartition("/")[2] or "root-ref"))
            self._paths[name] = path
            self.writer.define(
                name, self._schema(target, self._base + ref.removeprefix("#").replace("/", "."), depth - 1)
            )
        return self._targets[key]

    def _target(self, ref: str, path: str) -> Any:
        if not ref.startswith("#"):
            self._refuse(f"{path}.$ref", "only references within the schema (#/…) are supported")
        target = self._root
        for part in ref[1:].split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and part.isdecimal() and len(part) < 6 and int(part) < len(target):
                target = target[int(part)]
            elif isinstance(target, dict) and part in target:
                target = target[part]
            else:
                self._refuse(f"{path}.$ref", f"there is no {ref[:100]}")
        return target

    def _list(self, value: Any, path: str) -> list[Any]:
        return several(value, path, self._param)

    def _refuse(self, path: str, why: str) -> NoReturn:
        refuse(path, why, self._param)
