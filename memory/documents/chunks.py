"""A document cut into chunks: at headings, then between paragraphs, sentences, lines and words. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

from msgspec import Struct

from mongarsd.memory.documents.structure import Document

#: Tokens of a text. Of two texts put together: not more than of both.
Counter = Callable[[str], int]

_TOKEN = re.compile(r"[A-Za-z]+|[0-9]+|[^\sA-Za-z0-9]")
_WORD_PIECE = 6  # letters of a word that one token holds on average: a word of English has 4.7, and 1.3 tokens at most
_NUMBER_PIECE = 3  # digits
#: Where a text may be cut, from good to bad. What matches stays at the end of the first part.
_CUTS = (
    re.compile(r"\n[ \t]*\n\s*|[.!?…][\"'”’)\]]*\s+|[。！？]\s*"),
    re.compile(r"\n"),
    re.compile(r"\s+"),
)
_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*$")
#: A section with less than this part of a chunk goes together with the next: a bare title finds nothing.
_SMALL = 8
#: A chunk that is at least this full ends at the end of a paragraph rather than in one.
_FULL = 0.6


class Chunk(Struct, frozen=True):
    """`start` and `end` are offsets into the document's text; `headings` leads from the outermost to the nearest."""

    start: int
    end: int
    tokens: int
    headings: tuple[str, ...] = ()
    page: int | None = None


class _Section(NamedTuple):
    start: int
    end: int
    path: tuple[str, ...]


class _Piece(NamedTuple):
    start: int
    end: int
    tokens: int
    last: bool  # of its paragraph
    blank: bool


def tokens(text: str) -> int:
    """About as many as a WordPiece or BPE vocabulary has: words, digits by threes, marks, letters of other scripts."""
    total = 0
    for match in _TOKEN.finditer(text):
        size = match.end() - match.start()
        piece = _WORD_PIECE if size > 1 and text[match.start()].isalpha() else _NUMBER_PIECE
        total += -(-size // piece)
    return total


def cut(document: Document, *, most: int, overlap: int, count: Counter = tokens) -> Iterator[Chunk]:
    """Chunks of at most `most` tokens, in order; each begins with up to `overlap` tokens of the one before it in its
    section. Every character that is no whitespace is in one."""
    for section in _joined(_sections(document), document.text, most // _SMALL, most, count):
        pieces = list(_pieces(document.text, section.start, section.end, most, count, 0))
        for first, end in _packed(pieces, most, overlap):
            start, stop = pieces[first].start, pieces[end - 1].end
            text = document.text[start:stop]
            if not text.strip():
                continue
            start += len(text) - len(text.lstrip())
            size = sum(piece.tokens for piece in pieces[first:end])
            yield Chunk(start, start + len(text.strip()), size, section.path, document.page(start))


def _sections(document: Document) -> Iterator[_Section]:
    open_: list[tuple[int, str]] = []
    start = 0
    for heading in document.headings:
        if heading.start > start:
            yield _Section(start, heading.start, tuple(title for _, title in open_))
        start = heading.start
        while open_ and open_[-1][0] >= heading.level:
            open_.pop()
        open_.append((heading.level, heading.title))
    yield _Section(start, len(document.text), tuple(title for _, title in open_))


def _joined(sections: Iterator[_Section], text: str, small: int, most: int, count: Counter) -> Iterator[_Section]:
    held: _Section | None = None
    for section in sections:
        if held is None:
            held = section
        elif (size := count(text[held.start : held.end])) < small and (
            not size or size + count(text[section.start : section.end]) <= most or section.path[:-1] == held.path
        ):
            held = _Section(held.start, section.end, _shared(held.path, section.path))
        else:
            yield held
            held = section
    if held:
        yield held


def _shared(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """The path that is true of both; a section within the first keeps its own."""
    if second[: len(first)] == first:
        return second
    return tuple(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def _pieces(text: str, start: int, end: int, most: int, count: Counter, level: int) -> Iterator[_Piece]:
    """Sentences; what has more than `most` tokens is cut on, at last in halves."""
    if level < len(_CUTS):
        begin = start
        for match in _CUTS[level].finditer(text, start, end):
            yield from _piece(text, begin, match.end(), most, count, level)
            begin = match.end()
        if begin < end:
            yield from _piece(text, begin, end, most, count, level)
    else:
        middle = (start + end) // 2
        yield from _piece(text, start, middle, most, count, level)
        yield from _piece(text, middle, end, most, count, level)


def _piece(text: str, start: int, end: int, most: int, count: Counter, level: int) -> Iterator[_Piece]:
    part = text[start:end]
    if (size := count(part)) <= most or end - start == 1:
        yield _Piece(start, end, size, bool(_PARAGRAPH.search(part)), part.isspace())
    else:
        yield from _pieces(text, start, end, most, count, level + 1)


def _packed(pieces: Sequence[_Piece], most: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Runs of pieces as (first, end), each with something new."""
    first, done = 0, 0
    while done < len(pieces):
        end, size, paragraph = first, 0, 0
        while end < len(pieces) and (size + pieces[end].tokens <= most or end <= done):
            size += pieces[end].tokens
            end += 1
            if end > done and pieces[end - 1].last and size >= most * _FULL:
                paragraph = end
        if paragraph and end < len(pieces):
            end = paragraph
        yield first, end
        begin = next(
            (i for i in range(first, end) if not pieces[i].blank), end
        )  # the next chunk must not hold all of it
        done = first = end
        room = min(overlap, most - pieces[done].tokens) if done < len(pieces) else 0
        while first > begin + 1 and (room := room - pieces[first - 1].tokens) >= 0:
            first -= 1
