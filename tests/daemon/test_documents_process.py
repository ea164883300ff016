"""The real daemon with documents: sent by mongarsctl, searched over HTTP, there after a kill and a restart."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.daemon_process import DaemonProcess, running
from fakes.pdf_files import bomb_pdf, build_pdf


@pytest.fixture
def daemon() -> Iterator[DaemonProcess]:
    with running() as daemon:
        yield daemon


def post(daemon: DaemonProcess, path: str, body: Any) -> Any:
    status, data = daemon.post(path, body)
    assert status == 200, data
    return json.loads(data)


def store(daemon: DaemonProcess) -> Any:
    (found,) = daemon.get("/v1/vector_stores")[1]["data"]
    return found


def find(daemon: DaemonProcess, query: str) -> list[str]:
    found = post(daemon, f"/v1/vector_stores/{store(daemon)['id']}/search", {"query": query})
    return [hit["filename"] for hit in found["data"]]


@pytest.mark.slow
def test_a_folder_is_searched_and_synced(daemon: DaemonProcess, tmp_path: Path) -> None:
    (tmp_path / "boiler.md").write_text("# Boiler\n\nHold the red button for ten seconds to reset it.")
    (tmp_path / "garden.html").write_text("<h1>Garden</h1><p>Water the tomatoes each evening.")
    (tmp_path / "lease.pdf").write_bytes(build_pdf(["", "The rent is due on the third."]))
    done = daemon.ctl("memory", "add", str(tmp_path))
    assert (done.returncode, done.stdout.split(",")[0]) == (0, "3 new"), done.stderr
    assert [find(daemon, query) for query in ("how to reset?", "tomatoes", "rent")] == [
        ["boiler.md"], ["garden.html"], ["lease.pdf"],
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in (daemon.state / "files").iterdir()} == {0o600}

    (tmp_path / "boiler.md").write_text("# Boiler\n\nIt was replaced by a heat pump.")
    (tmp_path / "garden.html").unlink()
    done = daemon.ctl("memory", "add", str(tmp_path), "--remove")
    assert done.stdout == "0 new, 1 changed, 1 unchanged, 1 removed\n", done.stderr
    assert [find(daemon, query) for query in ("reset", "pump", "tomatoes")] == [[], ["boiler.md"], []]
    assert len(list((daemon.state / "files").iterdir())) == 2
    assert "documents" in daemon.ctl("memory", "documents").stdout
    assert "pump" not in daemon.log


def test_a_bomb_fails_and_the_daemon_lives(daemon: DaemonProcess, tmp_path: Path) -> None:
    (tmp_path / "bomb.pdf").write_bytes(bomb_pdf(1 << 30))
    (tmp_path / "good.txt").write_text("All is well.")
    done = daemon.ctl("memory", "add", str(tmp_path))
    assert done.returncode == 1
    assert "bomb.pdf: " in done.stderr
    assert find(daemon, "well") == ["good.txt"]
    assert store(daemon)["file_counts"]["failed"] == 1


def test_a_file_too_large_is_refused_with_numbers(daemon: DaemonProcess, tmp_path: Path) -> None:
    with (tmp_path / "big.txt").open("wb") as file:
        file.truncate(70_000_000)
    done = daemon.ctl("memory", "add", str(tmp_path))
    assert done.returncode == 1
    assert "67108864" in done.stderr
    assert not (daemon.state / "files").exists()


@pytest.mark.slow
def test_indexing_goes_on_after_a_kill(daemon: DaemonProcess, tmp_path: Path) -> None:
    lines = (f"Item {number} lies in drawer {number % 7}." for number in range(20_000))
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\nThe spare key hangs behind the clock.")
    assert daemon.ctl("memory", "add", str(tmp_path), "--no-wait").returncode == 0
    daemon.signal(signal.SIGKILL)
    daemon.wait()
    daemon.close()
    with contextlib.closing(DaemonProcess(daemon.folder)) as again:
        limit = time.monotonic() + 60
        while store(again)["file_counts"]["in_progress"]:
            assert time.monotonic() < limit
        assert find(again, "spare key") == ["list.txt"]
        assert len(find(again, "clock")) == 1
