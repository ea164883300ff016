from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.control_daemon import FakeDaemon
from typer.testing import CliRunner

from mongarsd.client import places
from mongarsd.ctl.commands import app


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MONGARSD_API_KEY", "MONGARSD_SOCKET", "RUNTIME_DIRECTORY", "NO_COLOR", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(places, "CHECKOUT", tmp_path / "nowhere")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "control.sock") as fake:
        yield fake


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run a command against tmp_path/control.sock: exit code, standard output, standard error."""
    monkeypatch.setenv("MONGARSD_SOCKET", str(tmp_path / "control.sock"))

    def call(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        result = CliRunner().invoke(app, arguments, input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return call
