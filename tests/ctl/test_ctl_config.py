from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.control_daemon import FakeDaemon

from mongarsd.ctl import server
from mongarsd.ctl.doctor.facts import listen_addresses
from mongarsd.ctl.exits import Failure

Run = Callable[..., tuple[int, str, str]]
SETTINGS = {"server": {"listen": ["127.0.0.1:8420"], "drain": 25.0}, "models": {"preload": True, "default": "a\x1bb"}}


def test_show_is_toml(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers["GET /admin/config"] = (200, SETTINGS)
    code, out, _ = run("config", "show")
    assert code == 0
    assert out == (
        '[server]\nlisten = ["127.0.0.1:8420"]\ndrain = 25.0\n\n[models]\npreload = true\ndefault = "a\\u001bb"\n'
    )
    assert json.loads(run("config", "show", "--json")[1]) == SETTINGS


def test_check_of_a_good_and_a_bad_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text("[server]\ndrain = 3.0\n")
    assert run("config", "check", str(file)) == (0, f"{file} is valid.\n", "")
    file.write_text('[server]\ndrain = "long"\n[modls]\n')
    code, out, err = run("config", "check", str(file))
    assert (code, out) == (1, "")
    assert "server.drain" in err
    assert "modls" in err
    assert run("config", "check", str(tmp_path / "none.toml"))[0] == 1


def test_new_key(run: Run) -> None:
    code, out, err = run("config", "new-key")
    assert (code, err) == (0, "")
    assert "mg-" in out
    assert "sha256:" in out


def test_the_addresses_are_read_from_the_real_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGARSD_SERVER_LISTEN", "127.0.0.1:1234,[::1]:1234")
    monkeypatch.setenv("MONGARSD_API_KEY", "not a setting of the daemon")
    result = server.run("--check")
    assert (result.code, result.errors) == (0, "")
    assert listen_addresses(result.output) == ("127.0.0.1:1234", "[::1]:1234")
    assert listen_addresses("something else") == ()


def test_without_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failure, match="not installed"):
        server.run("--check")
