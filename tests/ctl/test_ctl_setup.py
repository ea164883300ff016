from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.control_daemon import FakeDaemon
from fakes.terminal import CTRL_C, CTRL_D, Terminal

Run = Callable[..., tuple[int, str, str]]
MAIN = [sys.executable, "-c", "from mongarsd.ctl.main import main; main()", "setup"]


@pytest.fixture(autouse=True)
def no_key_yet(daemon: FakeDaemon) -> None:
    daemon.answers["GET /admin/keys"] = (200, [])


def test_without_a_person_it_asks_nobody(daemon: FakeDaemon, run: Run) -> None:
    code, _, err = run("setup", stdin="y\n")
    assert code == 2
    assert "--yes" in err
    assert [request.method for request in daemon.requests] == ["GET"]


@pytest.mark.parametrize(("key", "code"), [(CTRL_C, 130), (CTRL_D, 130), ("n\n", 1)])
def test_a_person_may_leave(daemon: FakeDaemon, tmp_path: Path, key: str, code: int) -> None:
    env = os.environ | {"TERM": "xterm", "MONGARSD_SOCKET": str(tmp_path / "control.sock")}
    with Terminal(MAIN, env) as screen:
        screen.until("Make one? [y/N]: ")
        screen.press(key, "\r\n")
        assert screen.end() == code
    assert [request.method for request in daemon.requests] == ["GET"]


def test_a_scope_that_does_not_exist_is_answered_with_those_that_do(daemon: FakeDaemon, run: Run) -> None:
    for command in ("keys create x", "users add x"):
        code, _, err = run(*command.split(), "--scope", "all")
        assert code == 2
        assert all(scope in err for scope in ("chat", "admin", "metrics"))
    assert not daemon.requests
