from __future__ import annotations

import errno
import os
import subprocess
import sys
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


def test_its_name_must_be_utf8_as_it_is_read_here(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"is not UTF-8: .*--state-dir"):
        StateDirectory(tmp_path / os.fsdecode(b"gr\xf6\xdfe"))


def test_in_a_locale_without_utf8_it_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mongarsd", "--state-dir", os.fsencode(tmp_path) + "/größe".encode()],
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"is not UTF-8" in done.stderr
    assert not list(tmp_path.iterdir())
