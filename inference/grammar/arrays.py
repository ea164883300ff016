"""An array's keywords as grammar."""

from __future__ import annotations

from mongarsd.inference.grammar.place import Place

KEYS = ("items", "prefixItems", "minItems", "maxItems")


def array(place: Place) -> str:
    writer, path = place.writer, place.path
    ws = writer.primitive("ws")
    least, most = place.counts("Items")
    prefix = place.several("prefixItems") if "prefixItems" in place.schema else []
    items = place.schema.get("items", not prefix)
    if isinstance(items, list):
        place.refuse("a list of schemas is not supported; use prefixItems", "items")
    heads = [place.compile(one, f"{path}.prefixItems[{i}]") for i, one in enumerate(prefix)]
    if heads:  # a tuple: all of its members, and no others
        if (most is not None and most < len(heads)) or least > len(heads):
            place.refuse("prefixItems with another number of items is not supported")
        return f'"[" {ws} ' + f' {ws} "," {ws} '.join(heads) + f' {ws} "]"'
    if items is False or most == 0:
        if least:
            place.refuse("no items are allowed, and some are required")
        return f'"[" {ws} "]"'
    item = place.compile(items, f"{path}.items")
    more = writer.rule(f"{place.wish}-more", f'"," {ws} {item} {ws}')
    rest = writer.times(place.wish, more, max(least - 1, 0), None if most is None else most - 1)
    body = f"{item} {ws} {rest}"
    return f'"[" {ws} {body} "]"' if least else f'"[" {ws} ({body})? "]"'
