"""JSON mode: any JSON object."""

from __future__ import annotations

import functools

from mongarsd.inference.grammar.schema import compile_schema


@functools.cache
def json_object() -> str:
    """GBNF."""
    return compile_schema({"type": "object"})
