"""Clients that read slowly, or not at all: what they cost, and when they are closed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator

import pytest
from fakes.boards import board
from fakes.executor import FakeExecutor
from fakes.pool import until
from fakes.sockets import UPGRADE, ticket
from fakes.timers import LoopClock

from mongarsd.api import connection
from mongarsd.api.ws import session
from mongarsd.api.ws.log import MOST
from mongarsd.api.ws.socket import HEARTBEAT
from mongarsd.ground.job import Event, Finished, Job
from mongarsd.memory.conversations.types import NewTurn
from mongarsd.memory.room import Memory


class Torrent(FakeExecutor):
    """Says much more than a reader may fall behind, as fast as it is taken, and ends when it is told to."""

    def __init__(self) -> None:
        super().__init__(["x" * 1000] * 2000)

    async def run(self, job: Job) -> AsyncIterator[Event]:
        async for event in super().run(job):
            if isinstance(event, Finished):
                await self._released.wait()
            yield event


async def test_who_stops_reading_is_closed_and_costs_no_more_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a plain socket with a tiny buffer: aiohttp's client would read on its own."""
    monkeypatch.setattr(session, "GRACE", 0.2)
    async with board(Torrent()) as made:
        given = await ticket(*made.at)
        with contextlib.closing(socket.socket()) as raw:
            await stall(raw, made.served.address, given)
            await until(lambda: made.closes("slow") == 1)
            (left,) = made.hub.sessions.values()
            assert left.log.size <= MOST
            assert left.reader is None
            made.executor.release()
            monkeypatch.setattr(session, "GRACE", 60.0)
            async with made.connect(left.name, 1, max_msg_size=0) as back:  # meanwhile the response went on
                gap = await back.event()
                assert (gap["type"], gap["after"]) == ("session.gap", 1)
                assert (await back.rest("c"))[-1]["type"] == "response.completed"
        await until(lambda: made.served.parts.http.connections[("tcp",)] <= 1)  # that of the client that asked


CREATE = b'{"type":"response.create","id":"c","response":{"model":"tiny","input":"Hi","store":false}}'


async def stall(raw: socket.socket, address: tuple[str, int], given: str, command: bytes = CREATE) -> None:
    """Open a WebSocket with a tiny buffer, send a command, and never read."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, address)
    head = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
    host = "{}:{}".format(*address)
    await loop.sock_sendall(raw, f"GET /v1/ws?ticket={given} HTTP/1.1\r\nHost: {host}\r\n{head}\r\n".encode())
    await loop.sock_sendall(raw, bytes([0x81, 0xFE]) + len(command).to_bytes(2) + bytes(4) + command)


async def test_a_replay_that_nobody_reads_is_cut_like_any_answer_and_goes_on_when_resumed(memory: Memory) -> None:
    """It is not too slow: it waits. But a connection that stalls for `write_timeout` ends, here as over HTTP."""
    turns = [NewTurn(role="user", content=str(number) * 30_000) for number in range(60)]
    conversation = (await memory.conversations.create("local", turns)).id
    clock = LoopClock()
    async with board(memory=memory) as made:
        given = await ticket(*made.at)
        with contextlib.closing(socket.socket()) as raw:
            replay = {"type": "conversation.replay", "id": "r", "conversation": conversation}
            await stall(raw, made.served.address, given, json.dumps(replay).encode())
            for _ in range(200):
                if made.closes("lost"):
                    break
                await asyncio.sleep(0.005)
                await clock.advance(made.served.parts.settings.server.write_timeout / 10)
        assert (made.closes("lost"), made.served.parts.http.stalled[()]) == (1, 1)
        (left,) = made.hub.sessions.values()
        assert left.running
        assert left.log.size < MOST
        async with made.connect(left.name, 0) as back:
            told = await back.event()
            items = [] if told["type"] == "session.gap" else [told["item"]]
            while (told := await back.event())["type"] == "conversation.item":
                items.append(told["item"])
        assert [one["content"][0]["text"] for one in items] == [one.content for one in turns[-len(items) :]]
        assert len(items) > 50


async def test_a_slow_reader_that_reads_gets_all_and_its_pong_may_wait(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for it takes longer than both time-outs."""
    monkeypatch.setattr(connection, "SEND_BUFFER", 16 * 1024)
    turns = [NewTurn(role="user", content=str(number) * 30_000) for number in range(10)]
    conversation = (await memory.conversations.create("local", turns)).id
    loop, clock = asyncio.get_running_loop(), LoopClock()
    async with board(memory=memory) as made:
        given = await ticket(*made.at)
        with contextlib.closing(socket.socket()) as raw:
            replay = {"type": "conversation.replay", "id": "r", "conversation": conversation}
            await stall(raw, made.served.address, given, json.dumps(replay).encode())
            told, begin = b"", clock.time()
            while b"conversation.replayed" not in told[-2000:]:
                more = await loop.sock_recv(raw, 2000)
                assert more, "it was closed"
                told += more
                await clock.advance(1.0)
            assert told.count(b"conversation.item") == 10
            assert clock.time() - begin > 2 * max(HEARTBEAT, made.served.parts.settings.server.write_timeout)
            for _ in range(4):
                await clock.advance(HEARTBEAT / 2)
            await until(lambda: made.closes("lost") == 1)  # now nothing is before the pong that it does not send
        assert made.served.parts.http.stalled[()] == 0


async def test_large_events_do_not_close_a_reader_that_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several of more than the whole bound, one after the other."""
    monkeypatch.setattr(session, "GRACE", 60.0)  # so long may this machine be busy
    async with board() as made, made.connect(max_msg_size=0) as client:
        events = await client.respond(instructions="x" * (MOST + 1000), store=False)
        assert events[-1]["type"] == "response.completed"
        assert len(events[0]["response"]["instructions"]) > MOST
