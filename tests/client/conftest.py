from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.control_daemon import FakeDaemon

from mongarsd.client import places


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MONGARSD_API_KEY", "MONGARSD_SOCKET", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(places, "CHECKOUT", tmp_path / "nowhere")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "control.sock") as fake:
        yield fake
