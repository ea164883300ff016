"""Every way not to start: one clear sentence, the right exit code, no traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mongarsd import __version__
from mongarsd.daemon import cli, config
from mongarsd.daemon.keys import key_hash
from mongarsd.daemon.state import StateDirectory


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DEFAULT_FILE", tmp_path / "absent.toml")
    for name in os.environ:
        if name.startswith("MONGARSD_"):
            monkeypatch.delenv(name)


def start(*arguments: str) -> tuple[int, list[str]]:
    """Exit code and lines on standard error of a real process."""
    done = subprocess.run(
        [sys.executable, "-m", "mongarsd", *arguments],
        env={**os.environ, "MONGARSD_MODELS_OFFLINE": "1", "MONGARSD_LOG_LEVEL": "error"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mongarsd {__version__}\n"
    assert cli.main(["--help"]) == 0
    assert "exit codes:" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--listen"], ["serve"], ["--list", "127.0.0.1:1"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: mongarsd")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\ndrane = 1", "server.drane: no such setting; did you mean server.drain?"),
        ("[server", "not valid TOML"),
        ('[server]\nlisten = ["0.0.0.0"]', "expected HOST:PORT"),
    ],
)
def test_wrong_settings(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "m.toml"
    file.write_text(text)
    assert cli.main(["--config", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mongarsd: {file}: ")
    assert message in line


def test_wrong_flags_and_absent_file_are_told_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--config", str(tmp_path / "no.toml"), "--listen", "8420", "--log-level", "loud"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [str(tmp_path / "no.toml"), "--log-level", "--listen"]


def test_a_new_key_comes_with_its_settings_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--new-key"]) == 0
    words = capsys.readouterr().out.split()
    (key,) = (word for word in words if word.startswith("mg-"))
    assert len(key) == len("mg-") + 43  # 256 bits
    assert f'["{key_hash(key)}"]' in words


def test_check_prints_what_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--check", "--listen", "127.0.0.1:1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "server.listen = ('127.0.0.1:1',)  (--listen)"
    assert len(lines) == len(config.FIELDS)


@pytest.mark.parametrize("where", ["file", "/proc/mongarsd"])
def test_unwritable_state_directory(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, (line,) = start("--state-dir", str(tmp_path / where))
    assert code == 1
    assert line.startswith(f"mongarsd: the state directory {tmp_path / where} cannot be written: ")


def test_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, (line,) = start("--state-dir", str(tmp_path), "--listen", f"127.0.0.1:{port}")
    assert code == 1
    assert line.startswith(f"mongarsd: port {port} on 127.0.0.1 is already in use by ")
    assert f"(process {os.getpid()})" in line


def test_second_daemon_on_one_state_directory(tmp_path: Path) -> None:
    umask = os.umask(0)
    state = StateDirectory(tmp_path / "state")
    os.umask(umask)
    code, (line,) = start("--state-dir", str(tmp_path / "state"))
    state.close()
    assert code == 1
    assert line.startswith(f"mongarsd: another mongarsd (process {os.getpid()}) uses the state directory")


def test_state_directory_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    code, lines = start("--state-dir", str(tmp_path), "--listen", "127.0.0.1:0")
    assert code == 1
    assert lines[-1].startswith(f"mongarsd: the models in {tmp_path} cannot be opened: ")
    assert not (tmp_path / "control.sock").exists()
