"""What may be written to a terminal, and how wide. Colour only where a person looks and NO_COLOR is not set."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TextIO

DIM, BOLD, RED, YELLOW, GREEN = "2", "1", "31", "33", "32"

#: ESC and its kin would let a model or a peer move the cursor, set the title or paint over text; the embedding and
#: override characters of bidirectional text would let it show another text than it sent.
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_DROP: dict[int, str | None] = dict.fromkeys(_CONTROLS)
_DROP_FROM_TEXT = {code: gone for code, gone in _DROP.items() if chr(code) not in "\n\t"}
_DROP_FROM_LABEL = _DROP | {ord(space): " " for space in "\n\t\r"}


def clean_text(text: str) -> str:
    """Text of several lines without control characters but newline and tab."""
    return text.translate(_DROP_FROM_TEXT)


def clean(label: str) -> str:
    """One line without control characters."""
    return label.translate(_DROP_FROM_LABEL)


def colours(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, code: str, stream: TextIO | None = None) -> str:
    """`text` in an ANSI style, or as it is where colour is not wanted. Standard output if no stream is named."""
    return f"\x1b[{code}m{text}\x1b[0m" if colours(stream or sys.stdout) else text


def width() -> int:
    """Columns to write for: the terminal's, at least 40; 80 where there is none."""
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def wrap(text: str, indent: str, columns: int) -> list[str]:
    """Lines of at most `columns`, each beginning with `indent`; words longer than a line stay whole."""
    return textwrap.wrap(
        text, columns, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [indent.rstrip()]


def pairs(rows: Sequence[tuple[str, str]], indent: str = "  ", columns: int | None = None) -> list[str]:
    """Names and values in two aligned columns; a long value goes on below itself."""
    edge = max((len(name) for name, _ in rows), default=0) + 2
    lines = []
    for name, value in rows:
        first, *rest = wrap(value, indent + " " * edge, columns or width())
        lines += [indent + name.ljust(edge) + first[len(indent) + edge :], *rest]
    return lines


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> list[str]:
    """Aligned columns, two spaces apart; the columns `numbers` are right-aligned."""
    everything = [header, *rows]
    edges = [max(len(row[column]) for row in everything) for column in range(len(header))]
    return [
        "  ".join(
            cell.rjust(edge) if column in numbers else cell.ljust(edge)
            for column, (cell, edge) in enumerate(zip(row, edges, strict=True))
        ).rstrip()
        for row in everything
    ]


def note(text: str) -> None:
    """Tell the person something that is not the result: on standard error."""
    print(paint(text, DIM, sys.stderr), file=sys.stderr, flush=True)
