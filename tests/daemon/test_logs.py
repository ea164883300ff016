from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mongarsd.daemon import logs
from mongarsd.daemon.keys import new_key
from mongarsd.ground.settings import LogSettings

log = logging.getLogger("mongarsd.inference.pool")


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(settings: LogSettings, stream: io.StringIO, environ: dict[str, str] | None = None) -> str:
    logs.set_up(settings, environ or {}, stream)
    log.debug("unseen")
    log.warning("model %s is slow", "x")
    return stream.getvalue()


def test_human_is_one_line_without_colour() -> None:
    line = written(LogSettings(), io.StringIO())
    assert line.endswith(" warning pool: model x is slow\n")
    assert "\x1b" not in line


def test_colour_only_on_a_terminal_that_wants_it() -> None:
    assert "\x1b[33m" in written(LogSettings(), Terminal())
    assert "\x1b" not in written(LogSettings(), Terminal(), {"NO_COLOR": "1"})


def test_json() -> None:
    record = json.loads(written(LogSettings(format="json"), io.StringIO()))
    assert record.items() >= {"level": "warning", "logger": "mongarsd.inference.pool"}.items()
    assert record["message"] == "model x is slow"


def test_journal_gets_priorities_on_every_line(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        stat = os.fstat(stream.fileno())
        logs.set_up(LogSettings(), {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}, stream)
        try:
            raise KeyError("x")
        except KeyError:
            log.exception("broken")
        stream.seek(0)
        lines = stream.read().splitlines()
    assert lines[0] == "<3>error pool: broken"
    assert len(lines) > 2
    assert all(line.startswith("<3>") for line in lines)


def test_a_stale_journal_stream_is_not_believed(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+") as stream:
        logs.set_up(LogSettings(), {"JOURNAL_STREAM": "1:1"}, stream)
        log.info("x")
        stream.seek(0)
        assert not stream.read().startswith("<")


@pytest.mark.parametrize("kind", ["human", "json"])
def test_keys_are_redacted_everywhere(kind: str) -> None:
    key = new_key()
    stream = io.StringIO()
    logs.set_up(LogSettings(format=kind), {}, stream)  # type: ignore[arg-type]
    log.info("header Authorization: Bearer %s from x", "abcdefghijkl")
    log.info("key %s", key)
    try:
        raise ValueError(f"{key} hf_abcdefghijklmnop wst_abcdefghijklmnop")
    except ValueError:
        log.exception("failed")
    text = stream.getvalue()
    for secret in (key[3:], "abcdefghijkl"):
        assert secret not in text
    assert "Bearer ***" in text
    assert "mg-***" in text


def test_a_message_cannot_forge_lines() -> None:
    stream = io.StringIO()
    logs.set_up(LogSettings(), {}, stream)
    log.info("no model %s", "x\n12:00:00 info daemon: all is well\x1b[2J")
    assert stream.getvalue().splitlines()[1:] == [r"  | 12:00:00 info daemon: all is well\x1b[2J"]
    assert "\x1b" not in stream.getvalue()


def test_default_stream_is_stderr() -> None:
    logs.set_up(LogSettings(level="error"))
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.stderr
