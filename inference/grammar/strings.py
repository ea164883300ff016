"""A string's keywords as grammar: a length, a pattern or a format, each alone."""

from __future__ import annotations

from mongarsd.inference.grammar.pattern import Unsupported, translate
from mongarsd.inference.grammar.place import Place

KEYS = ("minLength", "maxLength", "pattern", "format")
#: The others promise nothing: JSON Schema takes `format` as an annotation.
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


def string(place: Place) -> str:
    writer, schema, form = place.writer, place.schema, place.schema.get("format", "")
    if not isinstance(form, str):
        place.refuse("expected a text", "format")
    least, most = place.counts("Length")
    bound = bool(least) or most is not None
    if "pattern" in schema:
        if bound or form in FORMATS:
            place.refuse("together with a length or a format is not supported", "pattern")
        writer.primitive("char")
        try:
            return f'"\\"" {translate(schema["pattern"])} "\\""'
        except Unsupported as error:
            place.refuse(str(error), "pattern")
        except (AttributeError, TypeError):
            place.refuse("expected a text", "pattern")
    if form in FORMATS:
        if bound:
            place.refuse("together with a length is not supported", "format")
        return f'"\\"" {_format(place, form)} "\\""'
    if not bound:
        return writer.primitive("string")
    return f'"\\"" {writer.times("char", writer.primitive("char"), least, most)} "\\""'


def _format(place: Place, form: str) -> str:
    body = FORMATS[form]
    if "{month-day}" in body:
        body = body.replace("{month-day}", place.writer.rule("month-day", _MONTH_DAY))
    if "{clock}" in body:
        body = body.replace("{clock}", place.writer.rule("clock", _CLOCK))
    return body.replace("[0-9]{4}", "[1-9] [0-9]{3}", 1) if form.startswith("date") else body
