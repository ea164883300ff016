"""Clients that go away, in every phase, leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import struct
from pathlib import Path

import pytest
from fakes.executor import FakeExecutor, Phase
from fakes.pool import until
from fakes.served import Served, serve

CLIENTS = 100
LINGER_ZERO = struct.pack("ii", 1, 0)  # close() sends a reset, not a goodbye


def post(path: str, body: bytes) -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        len(body),
        body,
    )


async def ask(served: Served, number: int) -> socket.socket:
    """Streams and not, one to three choices, and some bodies that do not fit into one read."""
    flag = b"true" if number % 2 else b"false"
    content = b"x" * (300_000 if number % 5 == 0 else 1)
    body = b'{"messages": [{"role": "user", "content": "%b"}], "stream": %b, "n": %d}' % (
        content,
        flag,
        choices(number),
    )
    sock = socket.create_connection(served.address)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_sendall(sock, post("/v1/chat/completions", body))
    return sock


def choices(number: int) -> int:
    return 1 + number % 3


def descriptors() -> int:
    return len(os.listdir(Path("/proc/self/fd")))  # noqa: PTH208  # iterdir would count itself differently


@pytest.mark.parametrize("phase", ["queue", "prefill", "decode"])
async def test_a_hundred_vanish(phase: Phase) -> None:
    executor = FakeExecutor(hold=phase)
    async with serve(executor, max_connections_per_client=CLIENTS + 1) as served:
        await served.json("GET", "/healthz")
        tasks, files = len(asyncio.all_tasks()), descriptors()
        socks = [await ask(served, number) for number in range(CLIENTS)]
        expected = sum(map(choices, range(CLIENTS)))
        await until(lambda: executor.running == expected)
        for number, sock in enumerate(socks):
            if number % 4 < 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
            sock.close()
        await until(lambda: executor.running == 0)
        await until(lambda: len(asyncio.all_tasks()) <= tasks and descriptors() <= files)
        gc.collect()  # a generator that was not closed would complain now: warnings are errors
        assert len(executor.jobs) == expected
        assert served.parts.http.connections[("tcp",)] <= 1  # the client of `healthz`, while it keeps it


async def test_a_client_that_leaves_before_its_body_is_whole() -> None:
    async with serve() as served:
        sock = socket.create_connection(served.address)
        sock.sendall(post("/v1/completions", b'{"prompt": "x"}')[:-3])
        await until(lambda: served.parts.http.connections[("tcp",)] == 1)
        sock.close()
        await until(lambda: served.parts.http.connections[("tcp",)] == 0)
        assert not served.executor.jobs


async def test_one_failing_choice_ends_the_others() -> None:
    executor = FakeExecutor(hold="decode")
    run = executor.run

    def second_breaks(job):  # type: ignore[no-untyped-def]
        if len(executor.jobs) == 1:
            executor.jobs.append(job)
            raise RuntimeError("broken")
        return run(job)

    executor.run = second_breaks  # type: ignore[method-assign]
    async with serve(executor) as served:
        assert (await served.chat(500, n=3))["error"]["code"] == "internal_error"
        assert executor.running == 0
