from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from fakes.control_daemon import FakeDaemon
from typer.testing import CliRunner

from mongarsd import __version__
from mongarsd.ctl.commands import app
from mongarsd.ctl.exits import Exit


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


ALL = list(commands(typer.main.get_command(app)))


def test_the_commands() -> None:
    assert {path[0] for path in ALL if path} == {
        *("status", "chat", "models", "cache", "doctor", "config", "memory"),
        *("setup", "keys", "users", "tokens", "accounts", "audit", "events"),
    }
    assert {path[1] for path in ALL if len(path) > 1} == {
        *("list", "pull", "show", "rm", "load", "unload"),
        *("check", "new-key"),
        *("status", "clear"),
        *("backup", "restore", "check", "export", "limit"),
        *("remember", "search", "forget", "add", "documents", "use"),
        *("create", "revoke", "passwd", "remove", "rotate", "set"),
    }


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_has_examples_that_exist_and_fits_80_columns(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    _, _, tail = result.output.partition("Examples:\n")
    lines = [line.split("mongarsctl ", 1)[1] for line in tail.splitlines() if "mongarsctl " in line]
    assert lines
    assert any(line.startswith(" ".join(path)) for line in lines)
    for line in lines:  # every example names a command that exists
        words = [word for word in line.partition("#")[0].split() if word[0].isalpha()]
        assert tuple(words[:1]) in ALL
    assert max(map(len, result.output.splitlines())) <= 80


def test_the_exit_codes_are_in_the_help() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    for code in Exit:
        assert f"{int(code)} " in text


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"mongarsctl {__version__}\n"


def test_a_wrong_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["nix"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "nix" in result.stderr


def test_a_wrong_url_is_a_usage_error() -> None:
    assert CliRunner().invoke(app, ["status", "--url", "pi"]).exit_code == 2


def test_a_reader_that_goes_away_is_no_traceback(daemon: FakeDaemon) -> None:
    code = "import sys; sys.stdin.readline(); from mongarsd.ctl.main import main; main()"
    command = [sys.executable, "-c", code, "status", "--socket", str(daemon._server.server_address)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.close()
        assert process.stdin
        process.stdin.close()
        assert process.stderr
        assert process.stderr.read() == b""


def test_a_terminal_that_is_not_utf_8(daemon: FakeDaemon) -> None:
    command = [sys.executable, "-c", "from mongarsd.ctl.main import main; main()", "status"]
    env = {"PYTHONIOENCODING": "ascii", "MONGARSD_SOCKET": str(daemon._server.server_address)}
    done = subprocess.run(command, env=env, capture_output=True, check=True)
    assert b"61 ?C" in done.stdout


@pytest.mark.parametrize(
    ("to", "code", "said"),
    [
        (">/dev/full", 1, "mongarsctl: the output cannot be written: No space left on device\n"),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "-u"])
def test_output_that_nobody_can_read_is_no_traceback(
    daemon: FakeDaemon, unbuffered: str, to: str, code: int, said: str
) -> None:
    line = f'"{sys.executable}" {unbuffered} -c "from mongarsd.ctl.main import main; main()" status {to}'
    env = {"MONGARSD_SOCKET": str(daemon._server.server_address)}
    done = subprocess.run(["/bin/sh", "-c", line], env=env, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize(
    "line",
    [
        "--socket {} --json status",
        "--socket={} status --json",
        "--json status --socket {}",
        "--json --socket {} models list",
        "models --socket {} list --json",
        "--socket nowhere models --socket {} list --json",
    ],
)
def test_options_of_every_command_may_stand_before_it(
    line: str, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGARSD_SOCKET", "nowhere")
    result = CliRunner().invoke(app, line.format(tmp_path / "control.sock").split())
    assert result.exit_code == Exit.OK
    assert json.loads(result.stdout)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("--json chat Hi", Exit.USAGE, "No such option: --json"),
        ("--socket X fly", Exit.USAGE, "No such command 'fly'"),
        ("--socket", Exit.USAGE, "Option '--socket' requires an argument."),
        ("models --url X --key", Exit.USAGE, "Option '--key' requires an argument."),
        ("--socket status", Exit.USAGE, "Missing command."),
        ("--socket X", Exit.USAGE, "Usage: mongarsctl"),
        ("--socket X --version", Exit.OK, __version__),
        ("--socket X models -h", Exit.OK, "Usage: mongarsctl models"),
    ],
)
def test_what_stands_before_a_command_without_meaning(line: str, code: Exit, said: str) -> None:
    result = CliRunner().invoke(app, line.split(), prog_name="mongarsctl")
    assert result.exit_code == code
    assert said in result.output


@pytest.mark.parametrize("words", ["models remove", "models delete", "users rm", "users delete"])
def test_what_is_removed_may_be_asked_for_in_each_word_for_it(words: str) -> None:
    result = CliRunner().invoke(app, [*words.split(), "-h"], prog_name="mongarsctl")
    assert (result.exit_code, "Remove a" in result.output) == (Exit.OK, True)
