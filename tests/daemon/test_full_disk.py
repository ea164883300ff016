"""A disk that fills up under the real daemon: chat goes on, says so, and stores again when there is space.

The state directory is a small file system in a mount namespace of the daemon's own.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from fakes.daemon_process import SLOW, DaemonProcess, running

SIZE = 16  # MiB
#: Runs its arguments with a file system of that size in the place of what follows --state-dir, with what was there.
SMALL = f"""
for each; do [ "$last" = --state-dir ] && state="$each"; last="$each"; done
cp -a "$state" "$state.was" && mount -t tmpfs -o size={SIZE}m tmpfs "$state" || exit
cp -a "$state.was/." "$state/" && exec "$@"
"""
UNSHARE = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")


def ask(daemon: DaemonProcess, text: str) -> dict[str, str]:
    """The headers of a complete answer."""
    connection = daemon.connect()
    response = daemon.chat(connection, messages=[{"role": "user", "content": text}], max_tokens=2, store=True)
    assert response.status == 200
    assert b"[DONE]" in response.read()
    connection.close()
    return dict(response.getheaders())


def fill(file: Path) -> None:
    """To the last byte."""
    with file.open("wb", buffering=0) as out:
        for size in (1 << 20, 4096, 1):
            for _ in range(SIZE << 10):
                try:
                    out.write(bytes(size))
                except OSError:
                    break


@pytest.mark.skipif(
    subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode != 0,
    reason="this machine allows no mount namespaces",
)
def test_chat_goes_on_and_storing_comes_back() -> None:
    with running(under=(*UNSHARE, "sh", "-c", SMALL, "sh")) as daemon:
        assert ask(daemon, "before")["X-Stored"] == "true"
        state = Path(f"/proc/{daemon.process.pid}/root{daemon.folder}/{SLOW}")
        fill(state / "filler")
        for number in range(200):  # the log's file has some room left
            if ask(daemon, f"{number} " + "x" * 1000)["X-Stored"] == "false":
                break
        else:
            raise AssertionError("the disk was never full")
        assert any("nothing is stored" in text for text in daemon.admin("/admin/status")["warnings"])
        assert "memory" in daemon.get("/readyz")[1]["warnings"]
        assert "mongarsd_database_stores 0.0" in daemon.text("/metrics")
        (state / "filler").unlink()
        headers = ask(daemon, "after")
        assert headers["X-Stored"] == "true"
        assert not [text for text in daemon.admin("/admin/status")["warnings"] if "stored" in text]
        assert "mongarsd_database_stores 1.0" in daemon.text("/metrics")
