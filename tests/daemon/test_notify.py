from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mongarsd.daemon import notify
from mongarsd.daemon.notify import Notifier, inherited_sockets


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """What systemd listens on: the value of NOTIFY_SOCKET, and the socket."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@mongarsd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0"))
        sock.settimeout(20)
        yield name, sock


def test_messages(manager: tuple[str, socket.socket]) -> None:
    name, sock = manager
    environ = {"NOTIFY_SOCKET": name}
    notifier = Notifier(environ)
    assert not environ  # children must not inherit it
    notifier.ready()
    notifier.status("two\nlines")
    notifier.reloading()
    notifier.stopping()
    got = [sock.recv(1024).decode() for _ in range(4)]
    assert got[:2] == ["READY=1", "STATUS=two lines"]
    assert got[2].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert got[3] == "STOPPING=1"
    notifier.close()
    notifier.close()


def test_a_manager_that_is_slow_to_read_misses_nothing_that_counts(manager: tuple[str, socket.socket]) -> None:
    name, sock = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    for number in range(1000):  # the kernel holds 10 of them, or as many as its administrator wants
        notifier.status(str(number))
    reading = threading.Timer(0.1, lambda: got.extend(iter(lambda: sock.recv(64), b"STOPPING=1")))
    got: list[bytes] = []
    reading.start()
    notifier.ready()
    notifier.stopping()
    reading.join()
    assert got[-1] == b"READY=1"
    assert len(got) < 1000
    notifier.close()


def test_waiting_for_a_manager_that_does_not_read_takes_no_computing(
    manager: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "PATIENCE", 0.5)
    notifier = Notifier({"NOTIFY_SOCKET": manager[0]})
    for number in range(1000):
        notifier.status(str(number))
    computed = time.thread_time()
    notifier.ready()
    assert time.thread_time() - computed < 0.1
    notifier.close()


def test_outside_systemd_nothing_happens() -> None:
    notifier = Notifier({})
    assert notifier.interval is None
    notifier.ready()
    notifier.close()


def test_a_manager_that_went_away_does_no_harm(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.ready()
    notifier.close()


async def test_watchdog_beats_at_half_the_time(manager: tuple[str, socket.socket]) -> None:
    name, sock = manager
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())})
    assert notifier.interval == 0.01
    task = asyncio.create_task(notifier.watchdog())
    for _ in range(3):
        assert await asyncio.to_thread(sock.recv, 64) == b"WATCHDOG=1"
    task.cancel()
    await asyncio.wait([task])
    notifier.close()


def test_anothers_watchdog_is_not_ours() -> None:
    assert Notifier({"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}).interval is None


def test_no_sockets_are_inherited_by_accident() -> None:
    assert inherited_sockets({"LISTEN_FDS": "1", "LISTEN_PID": "1"}) == []
    assert inherited_sockets({}) == []


def test_sockets_are_inherited_from_systemd() -> None:
    program = (
        "import os; from mongarsd.daemon.notify import inherited_sockets; os.environ['LISTEN_PID'] = str(os.getpid());"
        "print([s.getsockname()[1] for s in inherited_sockets()], 'LISTEN_FDS' in os.environ)"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        # As systemd does: the socket is descriptor 3 of the new process.
        script = f'exec 3<&{server.fileno()}; exec "$@"'
        done = subprocess.run(
            ["bash", "-c", script, "bash", sys.executable, "-c", program],
            pass_fds=[server.fileno()],
            env={**os.environ, "LISTEN_FDS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == f"[{server.getsockname()[1]}] False"
