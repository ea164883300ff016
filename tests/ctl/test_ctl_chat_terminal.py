"""The chat as a person has it: on a real terminal, with Ctrl-C."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.control_daemon import FakeDaemon, Request, sse
from fakes.terminal import CTRL_C, CTRL_D, Terminal

MAIN = [sys.executable, "-c", "from mongarsd.ctl.main import main; main()", "chat"]
CHAT = "POST /v1/chat/completions"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"TERM": "xterm", "INPUTRC": "/dev/null", "MONGARSD_SOCKET": str(tmp_path / "control.sock")}


def echo(request: Request) -> Iterator[bytes]:
    return sse({"content": f"<{request.body['messages'][-1]['content']}>"})


def test_a_conversation(daemon: FakeDaemon, env: dict[str, str], tmp_path: Path) -> None:
    daemon.answers[CHAT] = echo
    with Terminal(MAIN, env) as screen:
        screen.until(">>> ")
        screen.type("one\n")
        screen.until("<one>")
        screen.until(">>> ")
        screen.type("two\\\n")
        screen.until("... ")
        screen.type("three\n")
        screen.until("<two\r\nthree>")
        screen.until(">>> ")
        screen.type("/nix\n")
        screen.until("/help lists them")
        screen.until(">>> ")
        screen.type("//slash\n")
        screen.until("</slash>")
        screen.until(">>> ")
        screen.type(CTRL_D)
        assert screen.end() == 0
    turns = daemon.requests[-1].body["messages"]
    assert [turn["content"] for turn in turns] == ["one", "<one>", "two\nthree", "<two\nthree>", "/slash"]
    history = tmp_path / "state" / "mongarsctl" / "history"
    assert history.stat().st_mode & 0o777 == 0o600
    assert "one" in history.read_text()


def pings(until: threading.Event) -> Iterator[bytes]:
    """A daemon is never silent for long. Python notices a Ctrl-C that came in the instant before it waits for bytes
    only when the next ones arrive."""
    for _ in range(200):
        if until.wait(0.1):
            return
        yield b": ping\n\n"


def test_ctrl_c_stops_the_answer_and_not_the_program(daemon: FakeDaemon, env: dict[str, str]) -> None:
    stopped = threading.Event()

    def endless(request: Request) -> Iterator[bytes]:
        if len(request.body["messages"]) > 1:
            yield from echo(request)
            return
        yield from sse({"content": "begun"}, finish=None, done=False)
        yield from pings(stopped)
        for _ in range(1000):
            yield b": ping\n\n" * 1000

    daemon.answers[CHAT] = endless
    with Terminal(MAIN, env) as screen:
        screen.until(">>> ")
        screen.type("go\n")
        screen.until("begun")
        screen.type(CTRL_C)
        screen.until("(stopped)")
        stopped.set()
        assert daemon.gone.wait(20)
        screen.until(">>> ")
        screen.type("half a line")
        screen.until("half a line")
        screen.press(CTRL_C, "Ctrl-D or /exit leaves")
        screen.until(">>> ")
        screen.type("again\n")
        screen.until("<again>")
        screen.until(">>> ")
        screen.type("/exit\n")
        assert screen.end() == 0
    turns = daemon.requests[-1].body["messages"]
    assert [turn["content"] for turn in turns] == ["go", "begun", "again"]


def test_a_failure_is_told_and_the_turn_can_be_tried_again(daemon: FakeDaemon, env: dict[str, str]) -> None:
    daemon.answers[CHAT] = (400, {"error": {"message": "too long", "code": "context_length_exceeded"}})
    with Terminal(MAIN, env) as screen:
        screen.until(">>> ")
        screen.type("one\n")
        screen.until("/clear begins anew")
        daemon.answers[CHAT] = echo
        screen.until(">>> ")
        screen.type("two\n")
        screen.until("<two>")
        screen.until(">>> ")
        screen.type(CTRL_D)
        assert screen.end() == 0
    assert [turn["content"] for turn in daemon.requests[-1].body["messages"]] == ["two"]


def test_ctrl_c_ends_a_single_question(daemon: FakeDaemon, env: dict[str, str]) -> None:
    stopped = threading.Event()

    def endless(_: Request) -> Iterator[bytes]:
        yield from sse({"reasoning_content": "hm"}, finish=None, done=False)
        yield from pings(stopped)

    daemon.answers[CHAT] = endless
    with Terminal([*MAIN, "why?"], env) as screen:
        screen.until("\x1b[2mhm")
        screen.type(CTRL_C)
        screen.until("\x1b[0m")
        assert screen.end() == 130
    stopped.set()


def test_a_daemon_that_is_down_is_known_before_one_types(env: dict[str, str]) -> None:
    with Terminal(MAIN, env) as screen:
        screen.until("mongarsd is not running")
        assert screen.end() == 3
