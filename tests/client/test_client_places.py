from __future__ import annotations

from pathlib import Path

import pytest

from mongarsd.client import places


def test_the_order_of_the_sockets(tmp_path: Path) -> None:
    environ = {"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_STATE_HOME": str(tmp_path), "HOME": "/home/u"}
    assert places.control_sockets(None, environ) == [
        Path("/run/a/control.sock"),
        Path("/run/mongarsd/control.sock"),
        tmp_path / "mongarsd" / "control.sock",
    ]


def test_a_program_of_a_checkout_asks_the_daemon_of_make_run_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "CHECKOUT", tmp_path / "state")
    ordinary = [Path("/run/mongarsd/control.sock"), Path("/h/.local/state/mongarsd/control.sock")]
    assert places.control_sockets(None, {"HOME": "/h"}) == ordinary
    assert places.how_to_start() != "`make run`"
    (tmp_path / "state").mkdir()
    assert places.how_to_start() == "`make run`"
    assert places.control_sockets(None, {"HOME": "/h"}) == ordinary
    (tmp_path / "state" / "control.sock").touch()
    assert places.control_sockets(None, {"HOME": "/h"}) == [tmp_path / "state" / "control.sock", *ordinary]


def test_a_relative_xdg_path_is_ignored_as_the_daemon_does() -> None:
    assert places.state_dir({"XDG_STATE_HOME": "state", "HOME": "/home/u"}) == Path("/home/u/.local/state/mongarsd")


def test_a_named_path_is_the_only_one_and_a_directory_means_the_socket_in_it(tmp_path: Path) -> None:
    assert places.control_sockets(tmp_path, {}) == [tmp_path / "control.sock"]
    assert places.control_sockets(tmp_path / "x.sock", {}) == [tmp_path / "x.sock"]
