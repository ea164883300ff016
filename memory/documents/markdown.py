"""Markdown keeps its own text; only its headings are found (CommonMark's ATX and setext, outside of fenced code)."""

from __future__ import annotations

import re

from mongarsd.memory.documents.plain import decode
from mongarsd.memory.documents.structure import Document, Heading

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")


def read_markdown(data: bytes) -> Document:
    text = decode(data)
    return Document(text, tuple(_headings(text)))


def _headings(text: str) -> list[Heading]:
    found: list[Heading] = []
    fence = ""  # what the open code block began with
    before = (0, "")  # start and text of the line before, if it may be the title of a setext heading
    start = 0
    for line in text.splitlines(keepends=True):
        begin, start = start, start + len(line)
        line = line.rstrip("\n")
        mark = _FENCE.fullmatch(line)
        if fence:
            if mark and mark[1].startswith(fence) and not mark[2].strip():
                fence = ""
            continue
        if mark and not (mark[1][0] == "`" and "`" in mark[2]):
            fence, before = mark[1], (start, "")
        elif atx := _ATX.fullmatch(line):
            if title := (atx[2] or "").strip():
                found.append(Heading(begin, len(atx[1]), title))
            before = (start, "")
        elif before[1] and (under := _SETEXT.fullmatch(line)):
            found.append(Heading(before[0], 1 if under[1][0] == "=" else 2, before[1]))
            before = (start, "")
        else:
            # only one-line titles: a longer one is a paragraph over a rule more often than a heading
            before = (begin, line.strip() if not before[1] and not line.startswith(("    ", "\t", ">", "|")) else "")
            if not line.strip():
                before = (start, "")
    return found
