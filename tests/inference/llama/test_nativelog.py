from __future__ import annotations

import logging

import pytest

from mongarsd.inference.llama.nativelog import CONTINUE, ERROR, MAX_LINE, WARN, NativeLog, clean

INFO = 2


def test_errors_are_logged_and_the_last_is_remembered(caplog: pytest.LogCaptureFixture) -> None:
    native = NativeLog()
    native(ERROR, b"first\nsecond\n", None)
    assert native.last_error == "second"
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (logging.ERROR, "first"),
        (logging.ERROR, "second"),
    ]
    native.forget()
    assert native.last_error == ""


def test_a_line_may_come_in_parts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    native = NativeLog()
    native(WARN, b"half", None)
    native(CONTINUE, b" a line", None)
    assert not caplog.records
    native(CONTINUE, b"\n", None)
    assert caplog.messages == ["half a line"]
    assert native.last_error == ""


def test_what_may_hold_prompts_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    native = NativeLog()
    native(INFO, b"prompt: secret\n", None)
    native(CONTINUE, b"more secret\n", None)
    assert not caplog.records


def test_a_line_is_printable_and_short() -> None:
    assert clean("  a\x1b[31mb\r ") == "a?[31mb"
    assert len(clean("x" * 10_000)) == MAX_LINE
