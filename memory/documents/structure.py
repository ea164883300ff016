"""What is read out of a file: its text, and where its headings and pages begin. Offsets count characters of `text`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from msgspec import Struct


class Heading(Struct, frozen=True):
    start: int  # where its line begins
    level: int  # 1 = the outermost
    title: str


class Document(Struct, frozen=True):
    text: str
    headings: tuple[Heading, ...] = ()  # by start
    pages: tuple[int, ...] = ()  # where each page begins; empty = the format has none

    def page(self, offset: int) -> int | None:
        """The number of the page at `offset`, from 1."""
        return bisect_right(self.pages, offset) if self.pages else None


class Unreadable(Exception):
    """The file holds no text that can be read; the message says why. `supported`: the format at least is known."""

    def __init__(self, message: str, *, supported: bool = True) -> None:
        super().__init__(message)
        self.supported = supported


#: A reader of one format. Raises Unreadable.
Reader = Callable[[bytes], Document]
