"""Passages for a model, and where its answer cites them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

_MARK = re.compile(r"\[(\d{1,2})\]")
_INTRODUCTION = (
    "These passages from files were found for what follows. Use what is of help, and cite it by its number, like [1]."
)


class Citation(Struct, frozen=True, kw_only=True, tag="file_citation"):
    file_id: str
    filename: str
    index: int  # characters of the text before the mark


def citations(text: str, results: Sequence[dict[str, Any]]) -> list[Citation]:
    """One for each "[n]" in `text` that is the number of a result."""
    return [
        Citation(file_id=found["file_id"], filename=found["filename"], index=mark.start())
        for mark in _MARK.finditer(text)
        if 1 <= int(mark[1]) <= len(results) and (found := results[int(mark[1]) - 1])
    ]


def passages(results: Sequence[dict[str, Any]]) -> str:
    """The block that stands before the words it was found for; "" when nothing was found."""
    if not results:
        return ""
    told = [f"[{number}] {one['filename']}: {one['text']}" for number, one in enumerate(results, 1)]
    return "\n\n".join([_INTRODUCTION, *told]) + "\n\n"
