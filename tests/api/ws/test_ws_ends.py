"""How sockets end when the node goes down or a connection is reset, and that they are counted."""

from __future__ import annotations

import asyncio
import gc
import socket

import aiohttp
import websockets
from fakes.boards import board
from fakes.executor import FakeExecutor
from fakes.pool import until
from fakes.served import fake_parts
from fakes.sockets import connect, ticket

from mongarsd.api.app import make_app
from mongarsd.api.front import Front
from mongarsd.api.ws.socket import Beating


async def test_an_idle_socket_does_not_hold_the_end_up_and_a_running_response_may_end() -> None:
    executor = FakeExecutor(hold="decode")
    async with board(executor, drain=30.0) as made, made.connect() as idle, made.connect() as busy:
        await busy.send("response.create", "c1", response={"model": "tiny", "input": "Hi"})
        await until(lambda: executor.running == 1)
        drained = asyncio.create_task(made.hub.drain(None))  # type: ignore[arg-type]
        assert await idle.closed() == aiohttp.WSCloseCode.GOING_AWAY
        await busy.send("response.create", "c2", response={"model": "tiny", "input": "Hi"})
        assert (await busy.rest("c2"))[-1]["error"]["code"] == "busy"
        executor.release()
        assert (await busy.rest("c1"))[-1]["type"] == "response.completed"
        assert await busy.closed() == aiohttp.WSCloseCode.GOING_AWAY
        await drained


async def test_a_node_that_goes_down_still_hears_its_clients() -> None:
    """The whole way down: a client that cancels, and one that waits for the node to hang up, as websockets does."""
    executor = FakeExecutor(hold="decode")
    front = Front(make_app(fake_parts(executor, drain=30.0)), "tcp")
    listening = socket.create_server(("127.0.0.1", 0))
    await front.start([listening])
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with aiohttp.ClientSession() as client:
        once = await ticket(client, url)
        async with (
            connect(client, url) as busy,
            websockets.connect(f"{url.replace('http', 'ws')}/v1/ws?ticket={once}", close_timeout=None) as waiting,
        ):
            await busy.send("response.create", "c1", response={"model": "tiny", "input": "Hi"})
            await until(lambda: executor.running == 1)
            down = asyncio.create_task(front.close())
            await waiting.wait_closed()
            assert waiting.close_code == aiohttp.WSCloseCode.GOING_AWAY
            assert not down.done()
            await busy.send("response.cancel", "c1")
            assert (await busy.rest("c1"))[-1]["type"] == "response.cancelled"
            assert await busy.closed() == aiohttp.WSCloseCode.GOING_AWAY
        await down


def held() -> int:
    gc.collect()
    return sum(isinstance(one, Beating) for one in gc.get_objects())


async def test_nothing_is_left_of_a_connection_that_was_reset() -> None:
    before = held()
    async with board() as made:
        for _ in range(3):
            async with made.connect() as client:
                client.ws._response.connection.transport.abort()  # type: ignore[union-attr]
        await until(lambda: made.closes("lost") == 3)
        await until(lambda: held() <= before)


async def test_sockets_and_sessions_are_counted() -> None:
    async with board() as made:
        metrics = made.served.parts.http
        async with made.connect(), made.connect():
            assert (metrics.sockets[()], metrics.sessions[()]) == (2, 2)
        await until(lambda: metrics.sockets[()] == 0)
        assert (metrics.sessions[()], made.closes("client")) == (2, 2)
