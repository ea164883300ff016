"""Ctrl-C at any moment, once or again and again: never a traceback, and the end that was promised."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.control_daemon import FakeDaemon, Request, sse
from fakes.terminal import CTRL_D, Terminal

from mongarsd.ctl.interrupts import Stoppable

CHAT = "POST /v1/chat/completions"
#: The program; when the function NAME of the file FILE is called, SIGINT comes, and goes on coming if MANY.
PRESSED = """
import os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler if sys.argv[1] == "heard" else signal.SIG_IGN)
file, name, many = sys.argv[2:5]
del sys.argv[1:5]
def press():
    os.kill(os.getpid(), signal.SIGINT)
    while many:
        time.sleep(0.0002)
        os.kill(os.getpid(), signal.SIGINT)
def look(frame, event, _):
    if event == "call" and frame.f_code.co_name == name and frame.f_code.co_filename.endswith(file):
        sys.setprofile(None)
        threading.Thread(target=press, daemon=True).start()
from mongarsd.ctl.main import main
sys.setprofile(look)
main()
"""


def press(heard: str, file: str, name: str, many: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PRESSED, heard, file, name, many, "status"],
        env=os.environ | {"MONGARSD_SOCKET": str(folder / "control.sock")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("file", "name", "many"),
    [
        ("ctl/interrupts.py", "begin", ""),
        ("ctl/main.py", "_run", "many"),
        ("ctl/commands.py", "<module>", "many"),  # while it is imported
        ("ctl/app.py", "parse_args", ""),
        ("client/sync.py", "open_socket", ""),
        ("ctl/status.py", "render", "many"),
    ],
)
def test_a_command_ends_with_130(daemon: FakeDaemon, tmp_path: Path, file: str, name: str, many: str) -> None:
    pause = threading.Event()

    def slowly(_: Request) -> Iterator[bytes]:
        for _ in range(200):
            yield b" "
            pause.wait(0.05)

    if name == "open_socket":
        daemon.answers["GET /admin/status"] = slowly
    done = press("heard", file, name, many, tmp_path)
    assert (done.returncode, done.stderr.strip()) == (130, "")


def test_where_it_is_ignored_it_stays_so(daemon: FakeDaemon, tmp_path: Path) -> None:
    """As for `mongarsctl status &` in a script."""
    done = press("ignored", "ctl/main.py", "_run", "many", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Raspberry Pi" in done.stdout


def test_a_chat_outlives_any_number_of_presses(daemon: FakeDaemon, tmp_path: Path) -> None:
    pause = threading.Event()

    def endless(request: Request) -> Iterator[bytes]:
        if len(request.body["messages"]) > 1:
            yield from sse({"content": f"<{len(request.body['messages'])}>"})
            return
        for _ in range(1000):
            yield from sse({"content": "begun "}, finish=None, done=False)
            pause.wait(0.02)

    daemon.answers[CHAT] = endless
    env = os.environ | {"TERM": "xterm", "INPUTRC": "/dev/null", "MONGARSD_SOCKET": str(tmp_path / "control.sock")}
    command = [sys.executable, "-c", "from mongarsd.ctl.main import main; main()", "chat"]
    with Terminal(command, env) as screen:
        screen.until(">>> ")
        screen.type("go\n")
        screen.until("begun")
        for _ in range(40):
            os.kill(screen.process.pid, signal.SIGINT)
            time.sleep(0.001)
        screen.until("(stopped)")
        screen.until(">>> ")
        screen.press("again\n", "<3>")
        screen.until(">>> ")
        screen.type(CTRL_D)
        assert screen.end() == 0
    turns = daemon.requests[-1].body["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"].startswith("begun")


def test_it_counts_once_and_only_where_something_can_be_stopped() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    stoppable = Stoppable()
    told = []
    try:
        signal.raise_signal(signal.SIGINT)
        for _ in range(2):
            try:
                with stoppable:
                    try:
                        signal.raise_signal(signal.SIGINT)
                    finally:
                        signal.raise_signal(signal.SIGINT)
                        told.append("cleaned up")
            except KeyboardInterrupt:
                signal.raise_signal(signal.SIGINT)
                told.append("stopped")
        stoppable.close()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert told == ["cleaned up", "stopped"] * 2
