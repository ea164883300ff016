"""A JSON schema as a grammar: every text the grammar accepts is JSON that validates against the schema.

The grammar may accept less than the schema: properties come in the order the schema names them; an object that names
properties and says nothing of others has no others; strings spell few escapes; numbers have at most 16 digits. What
cannot be promised is refused with its path and the reason, never ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NoReturn

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.check import check, unproductive
from mongarsd.inference.grammar.disjoint import disjoint
from mongarsd.inference.grammar.gbnf import MAX_RULES, MAX_TEXT, parse
from mongarsd.inference.grammar.merge import ANNOTATIONS, Conflict, merge
from mongarsd.inference.grammar.numeric import integer_between, number_between
from mongarsd.inference.grammar.pattern import Unsupported, translate
from mongarsd.inference.grammar.rules import Writer, char_class, json_literal, literal

MAX_DEPTH = 48  # of the schema; `$ref` does not count, it is not followed twice
MAX_SCHEMAS = 4000  # sub-schemas
TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
FORMATS = {
    "date": '[0-9]{4} "-" {month-day}',
    "time": "{clock}",
    "date-time": '[0-9]{4} "-" {month-day} "T" {clock}',
    "uuid": '[0-9a-f]{8} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{12}',
}
#: Every month has these days in every year, so each date exists; the 29th of February is left out.
_MONTH_DAY = (
    '("0" [13578] | "1" [02]) "-" ("0" [1-9] | [12] [0-9] | "3" [01]) | ("0" [469] | "11") "-"'
    ' ("0" [1-9] | [12] [0-9] | "30") | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8])'
)
_CLOCK = (
    '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})?'
    ' ("Z" | [-+] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])'
)
_OF_TYPE = {
    "object": "properties required additionalProperties minProperties maxProperties".split(),
    "array": "items prefixItems minItems maxItems".split(),
    "string": "minLength maxLength pattern format".split(),
    "number": "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf".split(),
}
_KNOWN = set("type enum const anyOf oneOf allOf $ref nullable".split()).union(ANNOTATIONS, *_OF_TYPE.values())
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
        self._forks = False  # may two branches begin alike?

    def add(self, schema: Any, path: str) -> str:
        """The rule of a whole schema: `$ref` inside is relative to it. Raises BadRequest."""
        self._root, self._base = schema, path
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
        if self._count > MAX_SCHEMAS or self.writer.size() > MAX_TEXT:
            self._refuse(path, "the schema is too large")
        if schema is True or schema == {}:
            return self.writer.primitive("value")
        if schema is False:
            self._refuse(path, "the schema false allows nothing")
        if not isinstance(schema, dict):
            self._refuse(path, "a schema is an object, true or false")
        if isinstance(schema.get("$ref"), str) and not set(schema) - ANNOTATIONS - {"$ref"}:
            return self._ref(schema["$ref"], path, depth)
        schema = self._flat(schema, path)
        self._known(schema, path)
        name = self.writer.rule(_wish(path), " | ".join(self._options(schema, path, depth)))
        self._paths.setdefault(name, path)
        return name

    def _flat(self, schema: dict[str, Any], path: str) -> dict[str, Any]:
        """Without `$ref` and `allOf`, all their keywords in one schema."""
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
            if key in _KNOWN or key.startswith("x-"):
                continue
            self._refuse(path, f"{key[:60]} is not supported")

    def _options(self, schema: dict[str, Any], path: str, depth: int) -> Iterator[str]:
        if "const" in schema or "enum" in schema:
            yield from self._values(schema, path)
            return
        for key in ("anyOf", "oneOf"):
            if key in schema:
                yield from self._branches(key, schema, path, depth)
                return
        for kind in self._types(schema, path):
            yield (
                {
                    "object": self._object,
                    "array": self._array,
                    "string": self._string,
                    "integer": self._integer,
                    "number": self._number,
                }[kind](schema, path, depth)
                if kind not in ("boolean", "null")
                else self.writer.primitive(kind)
            )

    def _types(self, schema: dict[str, Any], path: str) -> list[str]:
        given = schema.get("type")
        types = given if isinstance(given, list) else [given] if given is not None else []
        if not all(isinstance(kind, str) and kind in TYPES for kind in types) or given == []:
            self._refuse(f"{path}.type", f"expected one of {', '.join(TYPES)}")
        if not types:  # a keyword binds only its own type, so the others would be free: read it as what it means
            types = [kind for kind, keys in _OF_TYPE.items() if any(key in schema for key in keys)]
            if not types:
                types = ["object", "array", "string", "number", "boolean", "null"]
        if schema.get("nullable") is True and "null" not in types:  # OpenAPI 3.0's word
            types = [*types, "null"]
        return [kind for kind in dict.fromkeys(types) if not (kind == "integer" and "number" in types)]

    def _values(self, schema: dict[str, Any], path: str) -> Iterator[str]:
        values = [schema["const"]] if "const" in schema else self._list(schema["enum"], f"{path}.enum")
        if "const" in schema and "enum" in schema:
            values = [value for value in values if _among(value, schema["enum"])]
        if "type" in schema:
            types = self._types(schema, path)
            values = [value for value in values if any(_is(value, kind) for kind in types)]
        if others := set(schema) - ANNOTATIONS - {"const", "enum", "type", "nullable"}:
            self._refuse(path, f"{min(others)} beside const or enum is not supported")
        if not values:
            self._refuse(path, "no value of const or enum is of its type")
        try:
            yield from dict.fromkeys(json_literal(value) for value in values)
        except (ValueError, RecursionError):
            self._refuse(path, "a value that JSON cannot spell")

    def _branches(self, key: str, schema: dict[str, Any], path: str, depth: int) -> Iterator[str]:
        self._forks = True
        branches = self._list(schema[key], f"{path}.{key}")
        beside = {k: v for k, v in schema.items() if k not in ANNOTATIONS and k not in (key, "nullable")}
        if key == "oneOf":
            flat = [self._flat(branch, path) if isinstance(branch, dict) else branch for branch in branches]
            for i, one in enumerate(flat):
                for j, other in enumerate(flat[:i]):
                    if not disjoint(one, other):
                        why = f"oneOf: a value may fit both {j} and {i}, so only one cannot be promised; use anyOf"
                        self._refuse(path, why)
        for i, branch in enumerate(branches):
            whole = {"allOf": [beside, branch]} if beside else branch
            yield self._schema(whole, f"{path}.{key}[{i}]", depth - 1)
        if schema.get("nullable") is True:
            yield self.writer.primitive("null")

    def _object(self, schema: dict[str, Any], path: str, depth: int) -> str:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        if not isinstance(properties, dict):
            self._refuse(f"{path}.properties", "expected an object")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            self._refuse(f"{path}.required", "expected a list of names")
        more = schema.get("additionalProperties", not properties)
        missing = [name for name in dict.fromkeys(required) if name not in properties]
        if missing and "additionalProperties" in schema and more is False:
            self._refuse(f"{path}.required", f"{missing[0]!r} is required, but no property of that name is allowed")
        rest = more if isinstance(more, dict) else True
        properties = {**properties, **dict.fromkeys(missing, rest)}
        few, many = (self._count_of(schema, key, path) for key in ("minProperties", "maxProperties"))
        if few and few > len(set(required)):
            self._refuse(f"{path}.minProperties", "more than the required properties is not supported")
        if many is not None and (more is not False or many < len(properties)):
            self._refuse(f"{path}.maxProperties", "not supported")
        wish, rule, ws = _wish(path), self.writer.rule, self.writer.primitive("ws")
        pairs = []
        for name, value in properties.items():
            if value is False and name not in required:
                continue
            target = self._schema(value, f"{path}.{name}", depth - 1)
            key = literal(json.dumps(name, ensure_ascii=False))
            pairs.append((name in required, rule(f"{wish}-{_wish(name)}-kv", f'{key} {ws} ":" {ws} {target} {ws}')))
        extra = ""
        if more is not False:
            value = self._schema(rest, f"{path}.additionalProperties", depth - 1)
            extra = rule(f"{wish}-other", f'{self._other_key(list(properties), wish)} {ws} ":" {ws} {value} {ws}')
        # after[i]: what may follow once something was written and the first i properties are behind.
        after = rule(f"{wish}-rest", f'("," {ws} {extra})*') if extra else ""
        first = f"({extra} {after})?" if extra else ""
        for needed, pair in reversed(pairs):
            if needed:
                first = f"{pair} {after}".strip()
            elif first:
                first = f"({pair} {after} | {rule(f'{wish}-first', first)})".replace(" )", ")")
            else:
                first = f"({pair} {after})?"
            tail = f'"," {ws} {pair}' if needed else f'("," {ws} {pair})?'
            after = rule(f"{wish}-after", f"{tail} {after}".strip())
        return f'"{{" {ws} {first} "}}"'.replace("  ", " ")

    def _other_key(self, names: list[str], wish: str) -> str:
        """A key that is none of `names`, spelled without escapes."""
        if not names:
            return self.writer.primitive("string")
        plain = '"\\\x7f' + "".join(map(chr, range(1, 32)))
        names = [name for name in names if not any(c in plain + "\0" for c in name)]  # the others need an escape
        unsafe = char_class(plain, negated=True)
        self.writer.primitive("char")

        def node(rest: list[str]) -> str:
            """After a common beginning: what may follow so that the whole is none of `rest`."""
            heads: dict[str, list[str]] = {}
            for name in rest:
                if name:
                    heads.setdefault(name[0], []).append(name[1:])
            options = [f"{literal(head)} {node(tails)}" for head, tails in heads.items()]
            options.append(f"{char_class(plain + ''.join(heads), negated=True)} {unsafe}*" if heads else f"{unsafe}+")
            body = " | ".join(options)
            return self.writer.rule(f"{wish}-key", body if "" in rest else f"({body})?")

        return f'"\\"" {node(names)} "\\""'

    def _array(self, schema: dict[str, Any], path: str, depth: int) -> str:
        ws = self.writer.primitive("ws")
        least, most = self._count_of(schema, "minItems", path) or 0, self._count_of(schema, "maxItems", path)
        self._ordered(least, most, path, "Items")
        prefix = self._list(schema.get("prefixItems", [{}]), f"{path}.prefixItems") if "prefixItems" in schema else []
        items = schema.get("items", not prefix)
        if isinstance(items, list):
            self._refuse(f"{path}.items", "a list of schemas is not supported; use prefixItems")
        heads = [self._schema(one, f"{path}.prefixItems[{i}]", depth - 1) for i, one in enumerate(prefix)]
        if heads:  # a tuple: all of its members, and no others
            if (most is not None and most < len(heads)) or least > len(heads):
                self._refuse(path, "prefixItems with another number of items is not supported")
            return f'"[" {ws} ' + f' {ws} "," {ws} '.join(heads) + f' {ws} "]"'
        if items is False or most == 0:
            if least:
                self._refuse(path, "no items are allowed, and some are required")
            return f'"[" {ws} "]"'
        item = self._schema(items, f"{path}.items", depth - 1)
        wish = _wish(path)
        more = self.writer.rule(f"{wish}-more", f'"," {ws} {item} {ws}')
        rest = self.writer.times(wish, more, max(least - 1, 0), None if most is None else most - 1)
        body = f"{item} {ws} {rest}"
        return f'"[" {ws} {body} "]"' if least else f'"[" {ws} ({body})? "]"'

    def _string(self, schema: dict[str, Any], path: str, depth: int) -> str:  # noqa: ARG002
        writer, form = self.writer, schema.get("format", "")
        if not isinstance(form, str):
            self._refuse(f"{path}.format", "expected a text")
        least, most = self._count_of(schema, "minLength", path) or 0, self._count_of(schema, "maxLength", path)
        self._ordered(least, most, path, "Length")
        bound = bool(least) or most is not None
        if "pattern" in schema:
            if bound or form in FORMATS:
                self._refuse(f"{path}.pattern", "together with a length or a format is not supported")
            writer.primitive("char")
            self._forks = True
            try:
                return f'"\\"" {translate(schema["pattern"])} "\\""'
            except Unsupported as error:
                self._refuse(f"{path}.pattern", str(error))
            except (AttributeError, TypeError):
                self._refuse(f"{path}.pattern", "expected a text")
        if form in FORMATS:
            if bound:
                self._refuse(f"{path}.format", "together with a length is not supported")
            body = FORMATS[form]
            if "{month-day}" in body:
                body = body.replace("{month-day}", writer.rule("month-day", _MONTH_DAY))
            if "{clock}" in body:
                body = body.replace("{clock}", writer.rule("clock", _CLOCK))
            if form.startswith("date"):
                body = body.replace("[0-9]{4}", "[1-9] [0-9]{3}", 1)
            return f'"\\"" {body} "\\""'
        if not bound:
            return writer.primitive("string")
        return f'"\\"" {writer.times("char", writer.primitive("char"), least, most)} "\\""'

    def _integer(self, schema: dict[str, Any], path: str, depth: int) -> str:  # noqa: ARG002
        low, high, open_low, open_high = self._bounds(schema, path)
        if low is None and high is None:
            return self.writer.primitive("integer")
        first = None if low is None else int(-(-low // 1)) + int(open_low and low == int(low))
        last = None if high is None else int(high // 1) - int(open_high and high == int(high))
        if first is not None and low is not None and first < low:
            first += 1
        if last is not None and high is not None and last > high:
            last -= 1
        if not (body := integer_between(first, last)):
            self._refuse(path, "no integer of at most 15 digits lies within the bounds")
        return body

    def _number(self, schema: dict[str, Any], path: str, depth: int) -> str:
        if schema.get("multipleOf") == 1:
            return self._integer(schema, path, depth)
        low, high, open_low, open_high = self._bounds(schema, path)
        if low is None and high is None:
            return self.writer.primitive("number")
        body = number_between(low, high, open_low=open_low, open_high=open_high)
        if not body:
            self._refuse(path, "no number of at most 15 digits lies within the bounds")
        return body

    def _bounds(self, schema: dict[str, Any], path: str) -> tuple[Decimal | None, Decimal | None, bool, bool]:
        """low, high, and whether each is excluded."""
        if schema.get("multipleOf", 1) != 1:
            self._refuse(f"{path}.multipleOf", "only 1 is supported")
        found: dict[str, Decimal | None] = {}
        for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            value = schema.get(key)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                self._refuse(f"{path}.{key}", "expected a number")
            if value is not None and not -1e300 < value < 1e300:  # nor infinite, nor NaN
                self._refuse(f"{path}.{key}", "too large or too small")
            found[key] = None if value is None else Decimal(repr(value))
            exponent = found[key].adjusted() if found[key] else 0  # type: ignore[union-attr]
            if not -15 <= exponent <= 20:
                self._refuse(f"{path}.{key}", "too large or too small")
        low, above, high, below = (found[key] for key in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"))
        open_low = above is not None and (low is None or above >= low)
        open_high = below is not None and (high is None or below <= high)
        return above if open_low else low, below if open_high else high, open_low, open_high

    def _ref(self, ref: str, path: str, depth: int) -> str:
        key = (id(self._root), ref)
        if key not in self._targets:
            target = self._target(ref, path)
            name = self._targets[key] = self.writer.name(_wish(ref.rpartition("/")[2] or "root-ref"))
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
        if not isinstance(value, list) or not value:
            self._refuse(path, "expected a list that is not empty")
        return value

    def _count_of(self, schema: dict[str, Any], key: str, path: str) -> int | None:
        value = schema.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            self._refuse(f"{path}.{key}", "expected an integer of at least 0")
        return value

    def _ordered(self, least: int, most: int | None, path: str, what: str) -> None:
        if most is not None and most < least:
            self._refuse(path, f"max{what} is less than min{what}")
        if least > 10_000:
            self._refuse(f"{path}.min{what}", "more than 10,000 is not supported")

    def _refuse(self, path: str, why: str) -> NoReturn:
        raise BadRequest(f"{path[:300]}: {why}", param=self._param)


def _wish(path: str) -> str:
    return path.replace("[", ".").replace("]", "").rpartition(".")[2] or "x"


def _is(value: Any, kind: str) -> bool:
    return {
        "object": isinstance(value, dict),
        "array": isinstance(value, list),
        "string": isinstance(value, str),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
        "null": value is None,
    }[kind]


def _among(value: Any, values: Any) -> bool:
    return isinstance(values, list) and any(value == one and type(value) is type(one) for one in values)
