"""Clients that vanish in mid-stream leave nothing behind: no slot, no job, no task, no descriptor."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from fakes.daemon_process import MODEL, DaemonProcess

from mongarsd.memory.database.database import READERS

PROMPT = [{"role": "user", "content": "Tell me a long story about the sea and all that lives in it. " * 8}]


def descriptors(pid: int) -> int:
    """All but the database's: what runs in the background opens another reader when it wants to, a few at most."""
    links = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(str(file.readlink()))
    return sum("mongars.db" not in link for link in links)


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def busy(daemon: DaemonProcess) -> int:
    (model,) = [m for m in daemon.admin("/admin/status")["models"] if m["name"] == MODEL]
    return int(model["busy_slots"]) + int(model["queued"])


def test_a_hundred_clients_that_vanish(daemon: DaemonProcess, until: Callable[..., None]) -> None:
    until(lambda: busy(daemon) == 0)
    pid = daemon.process.pid
    before = descriptors(pid), threads(pid)
    for _ in range(10):
        connections = [daemon.connect() for _ in range(10)]
        for connection in connections:
            body = {"model": MODEL, "messages": PROMPT, "stream": True, "ignore_eos": True, "max_tokens": 900}
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connections[0].getresponse()  # by then some decode, some are in their prompt, two wait for a slot
        response.read(400)
        response.close()
        for connection in connections:
            connection.close()
    until(lambda: busy(daemon) == 0)
    until(lambda: descriptors(pid) <= before[0])
    assert threads(pid) <= before[1] + 1 + READERS
    connection = daemon.connect()
    assert daemon.chat(connection, max_tokens=4).status == 200
    connection.close()
