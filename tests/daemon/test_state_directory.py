from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mongarsd.daemon.state import StateDirectory, state_path
from mongarsd.ground.errors import StartError


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    old = os.umask(0o022)
    yield
    os.umask(old)


@pytest.mark.parametrize(
    ("flag", "environ", "path"),
    [
        (Path("/a"), {"STATE_DIRECTORY": "/b"}, "/a"),
        (None, {"STATE_DIRECTORY": "/b:/c", "XDG_STATE_HOME": "/d"}, "/b"),
        (None, {"XDG_STATE_HOME": "/d"}, "/d/mongarsd"),
        (None, {"XDG_STATE_HOME": "relative"}, str(Path.home() / ".local/state/mongarsd")),
        (None, {}, str(Path.home() / ".local/state/mongarsd")),
    ],
)
def test_where_it_is(flag: Path | None, environ: dict[str, str], path: str) -> None:
    assert str(state_path(flag, environ)) == path


def test_private_and_locked(tmp_path: Path) -> None:
    path = tmp_path / "a" / "state"
    state = StateDirectory(path)
    assert path.stat().st_mode & 0o777 == 0o700
    (path / "file").touch()
    assert (path / "file").stat().st_mode & 0o777 == 0o600
    with pytest.raises(StartError, match=rf"another mongarsd \(process {os.getpid()}\) uses the state directory"):
        StateDirectory(path)
    state.close()
    state.close()
    StateDirectory(path).close()


def test_on_a_full_disk_it_is_locked_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    state = StateDirectory(tmp_path)
    with pytest.raises(StartError, match="another mongarsd uses"):
        StateDirectory(tmp_path)
    state.close()


@pytest.mark.parametrize("bad", ["file", "file/below", "/proc/mongarsd"])
def test_unwritable(tmp_path: Path, bad: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"cannot be written: .*--state-dir"):
        StateDirectory(tmp_path / bad)
