"""Clients that are one too many."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
from fakes.pool import until
from fakes.served import serve
from fakes.timers import LoopClock

from mongarsd.api import refused
from mongarsd.api.refused import Refused

HEAD = (
    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """So long are they heard out: nothing here takes longer, whatever else this machine does."""
    monkeypatch.setattr(refused, "LINGER", 600.0)
    return 600.0


async def test_they_are_told_so_though_they_still_send() -> None:
    """As http.client does: a header, and when that is gone, a body."""

    def ask(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address, timeout=30) as sock:
            told = sock.recv(1)
            sock.sendall(HEAD)
            sock.sendall(b'{"prompt": "x"}')
            while more := sock.recv(4096):
                told += more
            return told

    async with serve(max_connections=1) as served:
        _, first = await asyncio.open_connection(*served.address)
        await until(lambda: served.parts.http.connections[("tcp",)] == 1)
        told = await asyncio.to_thread(ask, served.address)
        assert told.startswith(b"HTTP/1.1 503 ")
        assert b'"busy"' in told
        reader, late = await asyncio.open_connection(*served.address)
        assert b'"busy"' in await reader.read()
    for writer in (first, late):  # which is closed with the node, though it did not go
        writer.close()
        await writer.wait_closed()


class Door(asyncio.Protocol):
    def __init__(self, others: set[Refused]) -> None:
        self.others = others

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_protocol(Refused(transport, self.others))


async def test_they_are_not_heard_for_long_nor_are_many(patience: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused, "MOST", 2)
    clock, others = LoopClock(), set[Refused]()
    server = await asyncio.get_running_loop().create_server(lambda: Door(others), "127.0.0.1", 0)
    async with server:
        clients = [await asyncio.open_connection(*server.sockets[0].getsockname()) for _ in range(4)]
        for reader, _ in clients:
            assert b'"busy"' in await reader.read()
        assert len(others) == 2
        await clock.advance(patience / 2)
        assert len(others) == 2
        await clock.advance(patience)
        assert not others
        for _, writer in clients:
            writer.close()
            await writer.wait_closed()


async def test_who_goes_is_not_waited_for() -> None:
    others = set[Refused]()
    server = await asyncio.get_running_loop().create_server(lambda: Door(others), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert b'"busy"' in await reader.read()
        assert len(others) == 1
        writer.close()
        await writer.wait_closed()
        await until(lambda: not others)


async def test_who_has_gone_already_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    others, came = set[Refused](), asyncio.Event()

    def door() -> Door:
        came.set()
        return Door(others)

    async with await asyncio.get_running_loop().create_server(door, "127.0.0.1", 0) as server:
        with socket.create_connection(server.sockets[0].getsockname()) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets it
        await came.wait()
        await until(lambda: not others)
        await asyncio.sleep(0)
        assert not caplog.records
