from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket

import aiohttp
import pytest
from fakes.executor import FakeExecutor
from fakes.pool import until
from fakes.served import Served, serve
from fakes.timers import LoopClock
from msgspec import structs

from mongarsd.api import connection

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = (
    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b'Content-Length: 15\r\n\r\n{"prompt": "x"}'
)


def limit(served: Served, **server: float) -> None:
    """As a reload does: from now on."""
    settings = served.parts.settings
    served.parts.settings = structs.replace(settings, server=structs.replace(settings.server, **server))


async def wait_for_nothing(served: Served, clock: LoopClock) -> None:
    """Time goes by until a client that reads nothing is cut. By the kernel's clock next to none does."""
    for _ in range(200):
        if served.parts.http.stalled[()]:
            break
        await asyncio.sleep(0.005)
        await clock.advance(served.parts.settings.server.write_timeout / 10)
    assert served.parts.http.stalled[()] == 1


async def exchange(served: Served, data: bytes) -> bytes:
    """Send, then read until the server closes."""
    reader, writer = await asyncio.open_connection(*served.address)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("begin", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: loc"])
async def test_a_header_that_does_not_come_is_not_waited_for(begin: bytes) -> None:
    clock = LoopClock()
    async with serve() as served:
        reader, writer = await asyncio.open_connection(*served.address)
        writer.write(begin)
        await until(lambda: served.parts.http.connections[("tcp",)] == 1)
        await clock.advance(served.parts.settings.server.header_timeout)
        assert served.parts.http.stalled[()] == 1
        with contextlib.suppress(ConnectionResetError):  # where it had not read all that was sent
            assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()


async def test_no_limit_means_no_limit() -> None:
    clock = LoopClock()
    async with serve(header_timeout=0, write_timeout=0) as served:
        reader, writer = await asyncio.open_connection(*served.address)
        await until(lambda: served.parts.http.connections[("tcp",)] == 1)
        await clock.advance(connection.KEEP_ALIVE / 2)  # an idle one is another matter
        writer.write(GET)
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        assert (await served.chat())["choices"]


async def test_http_1_0_gets_its_stream() -> None:
    body = b'{"prompt": "x", "stream": true}'
    async with serve() as served:
        answer = await exchange(
            served,
            b"POST /v1/completions HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
        )
    assert b"chunked" not in answer
    assert answer.endswith(b"data: [DONE]\n\n")


async def test_a_header_in_time_keeps_the_connection() -> None:
    clock = LoopClock()
    async with serve() as served:
        reader, writer = await asyncio.open_connection(*served.address)
        for _ in range(2):
            writer.write(GET)
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(b'{"status":"ok"}'))
            await clock.advance(2 * served.parts.settings.server.header_timeout)
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("begin", [b"G", b"GET /healthz HTTP/1.1\r\nHost: loc"])
async def test_a_later_header_that_does_not_come_is_not_waited_for_either(begin: bytes) -> None:
    async with serve() as served:
        reader, writer = await asyncio.open_connection(*served.address)
        for _ in range(2):
            writer.write(GET)
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(b'{"status":"ok"}'))
        limit(served, header_timeout=0.05)
        writer.write(begin)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 30) == b""
        assert served.parts.http.stalled[()] == 1
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()


async def test_a_header_that_trickles_is_cut_and_one_in_pieces_is_not() -> None:
    clock = LoopClock()
    async with serve() as served:
        reader, writer = await asyncio.open_connection(*served.address)
        for start in range(0, len(GET), 20):
            writer.write(GET[start : start + 20])
            await clock.advance(2.0)
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(b'{"status":"ok"}'))
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        for _ in range(20):  # each piece comes in time, the whole does not
            if served.parts.http.stalled[()]:
                break
            writer.write(b"X: 1\r\n")
            await asyncio.sleep(0.005)
            await clock.advance(2.0)
        assert served.parts.http.stalled[()] == 1
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_who_reads_nothing_gains_no_time_by_asking_for_more() -> None:
    clock, executor = LoopClock(), FakeExecutor(["x" * 4096] * 5000)
    async with serve(executor) as served:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(served.address)
        sock.sendall(POST)  # its answer of 20 MB waits in the transport, and the handler for that
        await until(lambda: bool(executor.jobs) and executor.running == 0)
        sock.sendall(GET)
        await wait_for_nothing(served, clock)
        sock.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ],
)
async def test_garbage_gets_an_error_object(served: Served, garbage: bytes) -> None:
    answer = await exchange(served, garbage)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.split(b"\r\n")[0]
    assert b"aiohttp" not in head
    assert json.loads(body)["error"]["code"] == "invalid_request"


@pytest.mark.parametrize(("limit", "count"), [("max_connections", 3), ("max_connections_per_client", 3)])
async def test_connections_are_limited(limit: str, count: int) -> None:
    async with serve(**{limit: count}) as served:
        held = [await asyncio.open_connection(*served.address) for _ in range(count)]
        await until(lambda: served.parts.http.connections[("tcp",)] == count)
        answer = await exchange(served, b"")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 5" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "busy"
        assert served.parts.http.refused[("tcp",)] == 1
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        await until(lambda: served.parts.http.connections[("tcp",)] == 0)
        await served.json("GET", "/healthz")


async def test_a_stalled_reader_is_cut_and_its_job_cancelled() -> None:
    clock, executor = LoopClock(), FakeExecutor(["x" * 4096] * 5000)  # 20 MB: more than all buffers on the way
    async with serve(executor) as served:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(served.address)
        body = b'{"prompt": "x", "stream": true}'
        sock.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        await until(lambda: bool(executor.jobs))
        await wait_for_nothing(served, clock)
        await until(lambda: executor.running == 0)
        sock.close()


async def test_a_slow_reader_that_reads_is_served() -> None:
    clock, executor = LoopClock(), FakeExecutor(["x" * 4096] * 500)
    async with serve(executor) as served:
        body, patient = {"prompt": "x", "stream": True}, aiohttp.ClientTimeout()
        async with served.client.post(served.url + "/v1/completions", json=body, timeout=patient) as response:
            begin, size = clock.time(), 0
            async for chunk in response.content.iter_chunked(256 * 1024):
                size += len(chunk)
                await clock.advance(5.0)
        assert size > 500 * 4096
        assert clock.time() - begin > served.parts.settings.server.write_timeout


@pytest.mark.parametrize(("path", "last"), [("/v1/completions", b"[DONE]"), ("/api/generate", b'"done":true')])
async def test_a_slow_reader_is_served_though_one_write_takes_longer_than_the_time_out(
    path: str, last: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for it, some 160 KB, takes it 100 seconds."""
    monkeypatch.setattr(connection, "SEND_BUFFER", 16 * 1024)
    clock, executor = LoopClock(), FakeExecutor(["x" * 4096] * 50)
    loop = asyncio.get_running_loop()
    async with serve(executor) as served:
        with contextlib.closing(socket.socket()) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            sock.setblocking(False)
            await loop.sock_connect(sock, served.address)
            body = b'{"model": "tiny", "prompt": "x", "stream": true}'
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
            await loop.sock_sendall(sock, head.encode() + b"%d\r\n\r\n%b" % (len(body), body))
            told = b""
            while last not in told[-2000:]:
                more = await loop.sock_recv(sock, 1500)
                assert more, "it was cut"
                told += more
                await clock.advance(1.0)
        assert told.count(b"x") >= 50 * 4096
        assert served.parts.http.stalled[()] == 0


async def test_pings_are_no_progress() -> None:
    clock, executor = LoopClock(), FakeExecutor(["x" * 4096] * 5000)
    async with serve(executor, ping_interval=0.01) as served:
        with contextlib.closing(socket.socket()) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(served.address)
            body = b'{"prompt": "x", "stream": true}'
            sock.sendall(POST.replace(b'15\r\n\r\n{"prompt": "x"}', b"%d\r\n\r\n%b" % (len(body), body)))
            await until(lambda: bool(executor.jobs))
            await wait_for_nothing(served, clock)
            await until(lambda: executor.running == 0)


async def test_a_client_that_sends_far_ahead_cannot_leave_its_job_behind() -> None:
    executor = FakeExecutor(hold="decode")
    async with serve(executor) as served:
        _, writer = await asyncio.open_connection(*served.address)
        writer.write(POST + 3 * GET)
        await until(lambda: executor.running == 1)
        await asyncio.sleep(0.02)
        assert executor.running == 1
        writer.write(100 * GET)
        await until(lambda: executor.running == 0)
        writer.close()


EXPECTING = (
    b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Expect: 100-continue\r\nContent-Length: 15\r\n"
)


async def test_expect_continue(served: Served) -> None:
    body = b'{"prompt": "x"}'
    reader, writer = await asyncio.open_connection(*served.address)
    writer.write(EXPECTING + b"\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()


async def test_no_body_is_asked_for_before_the_key_and_the_rate_are_checked() -> None:
    key = b"X-API-Key: secret\r\n"
    async with serve(key_hashes=(f"sha256:{hashlib.sha256(b'secret').hexdigest()}",)) as served:
        settings = served.parts.settings
        served.parts.settings = structs.replace(
            settings, accounts=structs.replace(settings.accounts, requests_per_minute=1)
        )
        for more, status in (
            (b"", b"401"),
            (b"X-API-Key: wrong\r\n", b"401"),
            (b"Origin: http://elsewhere.example\r\n" + key, b"403"),
            (key, b"100"),
            (key, b"429"),
        ):
            reader, writer = await asyncio.open_connection(*served.address)
            writer.write(EXPECTING + more + b"\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            assert head.split()[1] == status
            writer.close()
            await writer.wait_closed()
    assert not served.executor.jobs


async def test_a_body_that_is_too_large_is_not_asked_for(served: Served) -> None:
    large = EXPECTING.replace(b"Content-Length: 15", b"Content-Length: %d" % (1 << 40))
    reader, writer = await asyncio.open_connection(*served.address)
    writer.write(large + b"\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_http_1_0_expects_nothing(served: Served) -> None:
    answer = await exchange(served, EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0") + b'\r\n{"prompt": "x"}')
    assert answer.startswith(b"HTTP/1.0 200 ")


async def test_expect_anything_else(served: Served) -> None:
    answer = await exchange(
        served,
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Expect: tea\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 417 ")
    assert b"expectation_failed" in answer


async def test_close_drains() -> None:
    executor = FakeExecutor(hold="decode")
    async with serve(executor, drain=30.0) as served:
        waiting = asyncio.create_task(exchange(served, POST))
        await until(lambda: executor.running == 1)
        asyncio.get_running_loop().call_later(0.05, executor.release)
    answer = await waiting
    assert b"200 OK" in answer
    assert answer.endswith(b"}")


async def test_close_cuts_what_does_not_end() -> None:
    executor = FakeExecutor(hold="decode")
    async with serve(executor, drain=0.05) as served:
        waiting = asyncio.create_task(exchange(served, POST))
        await until(lambda: executor.running == 1)
    assert await waiting == b""
    assert executor.running == 0
