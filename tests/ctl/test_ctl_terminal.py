from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.ctl import terminal


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(st.text())
def test_nothing_that_a_terminal_obeys_gets_through(text: str) -> None:
    assert not [c for c in terminal.clean(text) if unicodedata.category(c) == "Cc"]
    assert not [c for c in terminal.clean_text(text) if unicodedata.category(c) == "Cc" and c not in "\n\t"]


def test_text_keeps_its_lines_and_a_label_has_one() -> None:
    assert terminal.clean_text("a\r\n\tb\x1b[31m\x9b\u202e") == "a\n\tb[31m"
    assert terminal.clean("a\nb\x07") == "a b"


def test_colour_only_for_a_person_who_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.paint("x", terminal.RED, Screen()) == "\x1b[31mx\x1b[0m"
    assert terminal.paint("x", terminal.RED, io.StringIO()) == "x"
    monkeypatch.setenv("TERM", "dumb")
    assert terminal.paint("x", terminal.RED, Screen()) == "x"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.paint("x", terminal.RED, Screen()) == "x"


def test_pairs_are_aligned_and_wrapped_below_themselves() -> None:
    lines = terminal.pairs([("a", "one two three four five six"), ("long", "x"), ("none", "")], columns=24)
    assert lines == ["  a     one two three", "        four five six", "  long  x", "  none  "]


@given(st.lists(st.tuples(st.text("ab ", max_size=9), st.text("01", max_size=9)), max_size=5))
def test_table_columns_are_aligned(rows: list[tuple[str, str]]) -> None:
    lines = terminal.table(("NAME", "COUNT"), rows, numbers=(1,))
    assert len(lines) == len(rows) + 1
    edge = max(len("NAME"), *(len(name) for name, _ in rows)) if rows else len("NAME")
    assert all(line[:edge] == name.ljust(edge)[: len(line)] for line, (name, _) in zip(lines[1:], rows, strict=True))


def test_width_has_a_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    assert terminal.width() == 40
