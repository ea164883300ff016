"""WebSockets through the real process: what idle ones cost, who does not read, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fakes.daemon_process import LIMIT, MODEL, DaemonProcess, running
from fakes.pool import until
from fakes.sockets import Socket, connect, text_of, ticket

#: kB of each of 200 idle sockets, with its session.
MOST_EACH = 100
SOCKETS = 200
MANY = {"MONGARSD_SERVER_MAX_CONNECTIONS": "1000", "MONGARSD_SERVER_MAX_CONNECTIONS_PER_CLIENT": "1000"}
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}==\r\n".format(
        "A" * 22
    )
)
FAST = "state?step=0.001&rest=x"
LONG = {"model": MODEL, "input": "go", "ignore_eos": True, "temperature": 0, "store": False}


@pytest.fixture
def daemon(request: pytest.FixtureRequest) -> Iterator[DaemonProcess]:
    """`param`: more for `running`."""
    with running(**getattr(request, "param", {})) as started:
        yield started


def url_of(daemon: DaemonProcess) -> str:
    host, port = daemon.ports[0]
    return f"http://{host}:{port}"


@contextlib.asynccontextmanager
async def socket_of(daemon: DaemonProcess, **place: Any) -> AsyncIterator[Socket]:
    async with aiohttp.ClientSession() as client, connect(client, url_of(daemon), **place) as opened:
        yield opened


def resident(daemon: DaemonProcess) -> int:
    """kB of the daemon in RAM that is nobody else's too."""
    text = Path(f"/proc/{daemon.process.pid}/smaps_rollup").read_text()
    return sum(int(found) for found in re.findall(r"Private_(?:Clean|Dirty):\s+(\d+) kB", text))


def metric(daemon: DaemonProcess, name: str) -> float:
    (value,) = re.findall(rf"^{re.escape(name)} (\S+)$", daemon.text("/metrics"), re.MULTILINE) or ["0"]
    return float(value)


async def shows(daemon: DaemonProcess, name: str, value: float) -> None:
    """Wait until a metric has this value."""
    async with asyncio.timeout(60):
        while metric(daemon, name) != value:  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.1)


def plain(daemon: DaemonProcess, given: str, buffer: int = 0) -> socket.socket:
    """A WebSocket that reads nothing more than the answer to its handshake."""
    raw = socket.socket()
    if buffer:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    raw.settimeout(LIMIT)
    raw.connect(daemon.ports[0])
    host = "{}:{}".format(*daemon.ports[0])
    raw.sendall(f"GET /v1/ws?ticket={given} HTTP/1.1\r\nHost: {host}\r\n{UPGRADE}\r\n".encode())
    assert raw.recv(12) == b"HTTP/1.1 101"
    return raw


@pytest.mark.parametrize("daemon", [{"env": MANY}], indirect=True)
async def test_idle_sockets_cost_little(daemon: DaemonProcess) -> None:
    with contextlib.ExitStack() as opened:
        async with aiohttp.ClientSession() as client:

            async def more(count: int) -> None:
                for _ in range(count):
                    opened.enter_context(contextlib.closing(plain(daemon, await ticket(client, url_of(daemon)))))

            await more(10)  # what the first ones load is no socket's
            metric(daemon, "mongarsd_ws_sockets")
            before = resident(daemon)
            await more(SOCKETS)
            await shows(daemon, "mongarsd_ws_sockets", SOCKETS + 10)
            each = (resident(daemon) - before) / SOCKETS
    assert each <= MOST_EACH, f"{each:.1f} kB"


@pytest.mark.slow
@pytest.mark.parametrize("daemon", [{"state": FAST}], indirect=True)
async def test_who_does_not_read_is_closed_and_memory_stays_flat(daemon: DaemonProcess) -> None:
    async with aiohttp.ClientSession() as client:
        async with connect(client, url_of(daemon)) as warm:
            await warm.respond(**LONG, max_output_tokens=200)
        metric(daemon, "mongarsd_ws_sockets")
        before = resident(daemon)
        raws = [plain(daemon, await ticket(client, url_of(daemon)), 4096) for _ in range(4)]
    for raw in raws:
        for number in range(2):
            data = json.dumps({"type": "response.create", "id": f"c{number}", "response": LONG}).encode()
            raw.sendall(bytes([0x81, 0xFE]) + len(data).to_bytes(2) + bytes(4) + data)
    await shows(daemon, 'mongarsd_ws_closed_total{reason="slow"}', len(raws))
    grown = resident(daemon) - before
    for raw in raws:
        raw.close()
    await shows(daemon, "mongarsd_ws_sockets", 0)
    assert grown <= len(raws) * 1000, f"{grown} kB"
    assert "Traceback" not in daemon.log


async def test_cancelling_frees_the_slot_and_the_worker(daemon: DaemonProcess) -> None:
    async with socket_of(daemon) as client:
        await client.send("response.create", "c", response=LONG)
        while (await client.event())["type"] != "response.output_text.delta":
            pass
        await until(lambda: daemon.admin("/admin/status")["models"][0]["busy_slots"] == 1)
        await client.send("response.cancel", "c")
        events = await client.rest("c")
        assert events[-1]["response"]["status"] == "cancelled"
        await until(lambda: daemon.admin("/admin/status")["models"][0]["busy_slots"] == 0)


async def test_a_cut_loses_no_word(daemon: DaemonProcess) -> None:
    words = {**LONG, "max_output_tokens": 40}
    async with socket_of(daemon) as client:
        whole = text_of(await client.respond(**words))
        await client.send("response.create", "again", response=words)
        events = []
        while len(events) < 10:
            events.append(await client.event())
        place = {"session": client.session, "after": client.seq}
    async with socket_of(daemon, **place) as client:
        assert client.resumed
        events += await client.rest("again")
    assert text_of(events) == whole
    assert len(whole) == 40


async def test_sigterm_does_not_wait_for_an_idle_socket(daemon: DaemonProcess) -> None:
    async with socket_of(daemon) as client:
        daemon.signal(signal.SIGTERM)
        assert await client.closed() == aiohttp.WSCloseCode.GOING_AWAY
        assert await asyncio.to_thread(daemon.wait) == 0
    assert "are cut" not in daemon.log
    assert "Traceback" not in daemon.log


async def test_sigterm_lets_a_running_response_end(daemon: DaemonProcess) -> None:
    async with socket_of(daemon) as client:
        await client.send("response.create", "c", response={**LONG, "max_output_tokens": 60})
        while (await client.event())["type"] != "response.output_text.delta":
            pass
        daemon.signal(signal.SIGTERM)
        events = await client.rest("c")
        assert events[-1]["response"]["usage"]["output_tokens"] == 60
        assert await client.closed() == aiohttp.WSCloseCode.GOING_AWAY
        assert await asyncio.to_thread(daemon.wait) == 0
    assert "are cut" not in daemon.log


@pytest.mark.parametrize("daemon", [{"env": {"MONGARSD_SERVER_DRAIN": "0.5"}}], indirect=True)
async def test_what_lasts_longer_than_the_drain_fails_and_the_daemon_ends(daemon: DaemonProcess) -> None:
    async with socket_of(daemon) as client:
        await client.send("response.create", "c", response=LONG)
        while (await client.event())["type"] != "response.output_text.delta":
            pass
        daemon.signal(signal.SIGTERM)
        events = await client.rest("c")
        assert events[-1]["type"] in ("error", "response.failed")
        assert await asyncio.to_thread(daemon.wait) == 0
    assert "Traceback" not in daemon.log


async def test_the_socket_of_administrators_tells_what_the_node_does(daemon: DaemonProcess) -> None:
    unix = aiohttp.UnixConnector(str(daemon.control))
    async with aiohttp.ClientSession(connector=unix) as client, connect(client, "http://localhost") as socket:
        await socket.send("node.subscribe", "n")
        first = await socket.event()
        assert first["status"]["pid"] == daemon.process.pid
        async with socket_of(daemon) as other:
            await other.send("response.create", "c", response=LONG)
            while not any(model["busy_slots"] for model in (await socket.event())["status"]["models"]):
                pass
