from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, TracebackType

import pytest

from mongarsd.tuning import jetson


class FakeJtop:
    nvpmodel = "MAXN_SUPER"

    def __enter__(self) -> FakeJtop:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        pass

    def ok(self) -> bool:
        return True


def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: object) -> None:
    module = ModuleType("jtop")
    module.jtop = client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "jtop", module)
    (tmp_path / "jtop.sock").touch()
    monkeypatch.setattr(jetson, "SOCKET", tmp_path / "jtop.sock")


def test_power_mode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, FakeJtop)
    assert jetson.jtop_power_mode() == "MAXN_SUPER"


def test_a_failing_service_is_no_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse() -> None:
        raise ConnectionRefusedError

    install(monkeypatch, tmp_path, refuse)
    assert jetson.jtop_power_mode() == ""


def test_without_the_service_nothing_is_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(jetson, "SOCKET", tmp_path / "none")
    assert jetson.jtop_power_mode() == ""
    assert "jtop" not in sys.modules
