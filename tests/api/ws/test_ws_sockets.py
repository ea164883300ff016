"""One socket: who may open it, what it is told of bad messages, and what a client that misbehaves gets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import websockets
from fakes.boards import Board, board, hashes, key
from fakes.executor import FakeExecutor
from fakes.pool import until
from fakes.served import fake_parts, serve
from fakes.sockets import connect, ticket
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongarsd.api import connection
from mongarsd.api.app import make_admin_app, make_app
from mongarsd.api.front import Front
from mongarsd.api.ws import hub, session
from mongarsd.api.ws import socket as sockets
from mongarsd.api.ws.dispatch import MOST_REFUSED
from mongarsd.api.ws.log import MOST
from mongarsd.api.ws.socket import MAX_MESSAGE
from mongarsd.ground.errors import RateLimited
from mongarsd.ground.job import Event, Finished, Job
from mongarsd.memory.conversations.types import NewTurn
from mongarsd.memory.room import Memory

UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def handshake(made: Board, headers: dict[str, str], **query: str) -> tuple[int, Any]:
    """Status and body of one that fails."""
    async with made.served.client.get(made.served.url + "/v1/ws", params=query, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_it_takes_a_ticket_that_is_good_once() -> None:
    async with board(key_hashes=hashes("anna")) as made:
        for wrong in ({}, {"ticket": ""}, {"ticket": "wst_" + "A" * 43}):
            status, body = await handshake(made, UPGRADE | key("anna"), **wrong)  # a key does not replace it
            assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        given = await ticket(*made.at, key("anna"))
        url = f"{made.served.url}/v1/ws?ticket={given}"
        async with made.served.client.ws_connect(url) as ws:
            assert (await ws.receive_json())["event"]["type"] == "session.opened"
        assert (await handshake(made, UPGRADE, ticket=given))[0] == 401
        made.clock.advance(1.0)
        late = await ticket(*made.at, key("anna"))
        made.clock.advance(30.0)
        assert (await handshake(made, UPGRADE, ticket=late))[0] == 401


async def test_a_ticket_needs_what_every_request_needs() -> None:
    async with board(key_hashes=hashes("anna")) as made:
        ask = made.served.client.post
        url = made.served.url + "/v1/ws/ticket"
        for status, request in (
            (200, {"data": b"", "headers": key("anna") | {"Content-Type": "application/json"}}),
            (200, {"json": {}, "headers": key("anna")}),
            (401, {"json": {}}),
            (415, {"data": b"{}", "headers": key("anna")}),
            (400, {"data": b"[]", "headers": key("anna") | {"Content-Type": "application/json"}}),
            (403, {"json": {}, "headers": key("anna") | {"Origin": "http://evil.example"}}),
        ):
            async with ask(url, **request) as answer:
                assert answer.status == status, await answer.text()


def held() -> int:
    gc.collect()
    return sum(isinstance(one, sockets.Beating) for one in gc.get_objects())


async def test_nothing_is_left_of_a_connection_that_was_reset() -> None:
    async with board() as made:
        for _ in range(3):
            async with made.connect() as client:
                client.ws._response.connection.transport.abort()  # type: ignore[union-attr]
        await until(lambda: made.closes("lost") == 3)
        await until(lambda: not held())


async def test_strangers_pages_get_no_socket() -> None:
    async with board(allowed_origins=("https://chat.example",)) as made:
        given = await ticket(*made.at)
        status, body = await handshake(made, UPGRADE | {"Origin": "http://evil.example"}, ticket=given)
        assert (status, body["error"]["code"]) == (403, "forbidden")
        status, _ = await handshake(made, UPGRADE | {"Host": "evil.example"}, ticket=given)
        assert status == 421
        status, _ = await handshake(made, UPGRADE | {"Origin": "null"}, ticket=given)
        assert status == 403
        async with made.connect(origin="https://chat.example") as ours:
            assert ours.session
        async with made.connect(origin=made.served.url) as ours:
            assert ours.session


async def test_what_is_no_handshake_is_told_what_it_should_be() -> None:
    async with board() as made:
        url = made.served.url + "/v1/ws"
        async with made.served.client.get(url) as answer:
            assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
        async with made.served.client.head(url) as answer:
            assert answer.status == 426
        given = await ticket(*made.at)
        for name, value in (("Sec-WebSocket-Key", "short"), ("Sec-WebSocket-Version", "1"), ("Connection", "close")):
            assert (await handshake(made, UPGRADE | {name: value}, ticket=given))[0] in (400, 426)
        async with made.served.client.ws_connect(f"{url}?ticket={given}") as ws:  # which they did not cost
            assert (await ws.receive_json())["event"]["type"] == "session.opened"


async def test_tickets_are_in_no_log_and_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with board() as made:
        given = await ticket(*made.at)
        async with made.served.client.ws_connect(f"{made.served.url}/v1/ws?ticket={given}"):
            pass
        await until(lambda: "GET /v1/ws 101" in caplog.text)
        _, body = await handshake(made, UPGRADE, ticket=given)
        assert given not in json.dumps(body)
    ours = [one for one in caplog.records if one.name.startswith(("mongarsd", "aiohttp"))]
    assert ours
    assert not any(given in one.getMessage() for one in ours)


async def test_keys_that_come_as_subprotocols_are_refused_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with board() as made:
        given = await ticket(*made.at)
        headers = UPGRADE | {"Sec-WebSocket-Protocol": "openai-insecure-api-key.sk-secret"}
        assert (await handshake(made, headers, ticket=given))[0] == 400
    assert "sk-secret" not in "".join(one.getMessage() for one in caplog.records)


BAD: list[tuple[str | bytes, str | None, str | None]] = [
    ("", None, None),
    ("nonsense", None, None),
    ("[]", None, None),
    ("{}", None, "type"),
    ('{"type":"fly","id":"x"}', "x", "type"),
    ('{"type":"response.create","id":"x"}', "x", "response"),
    ('{"type":"response.create","id":"x","response":{"max_output_tokens":-1}}', "x", "response.max_output_tokens"),
    ('{"type":"response.create","id":"x","response":{"input":"Hi","seed":1e400}}', "x", None),
    ('{"type":"response.create","id":"x","response":{"input":"Hi","tools":' + "[" * 900 + "]" * 900 + "}}", "x", None),
    ('{"type":"response.cancel","id":"x"}', "x", "id"),
    ('{"type":"conversation.replay","id":"x","conversation":"conv_1"}', "x", None),
    ('{"type":"node.subscribe","id":"x"}', "x", None),
    ("[" * 200_000, None, None),
    (b"\x00\x01", None, None),
    (b'{"type":"ping"}', None, None),
]


@pytest.mark.parametrize(("message", "name", "param"), BAD)
async def test_bad_messages_are_error_events_and_the_socket_stays(
    message: str | bytes, name: str | None, param: str | None
) -> None:
    async with board() as made, made.connect() as client:
        await (client.ws.send_str(message) if isinstance(message, str) else client.ws.send_bytes(message))
        told = await client.next()
        assert (told.get("id"), told["event"]["type"], told["seq"]) == (name, "error", 1)
        error = told["event"]["error"]
        assert set(error) >= {"message", "type", "param", "code"}
        assert error["code"] != "internal_error"
        assert param is None or error["param"] == param
        await client.send("ping", "still.here")
        assert await client.next() == {"id": "still.here", "event": {"type": "pong"}}


async def test_text_that_is_not_utf8_is_an_error_event_too() -> None:
    async with board() as made, made.connect() as client:
        await client.ws.send_frame(b'{"type":"ping","x":"\xff"}', aiohttp.WSMsgType.TEXT)
        assert "UTF-8" in (await client.event())["error"]["message"]


async def test_a_message_that_is_too_large_closes() -> None:
    async with board() as made, made.connect() as client:
        await client.ws.send_str('{"type":"ping","x":"' + "x" * 2 * MAX_MESSAGE + '"}')
        assert await client.closed() == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        await until(lambda: made.closes("too_large") == 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
TYPES = ("response.create", "response.cancel", "conversation.replay", "node.subscribe", "node.unsubscribe", "ping")
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("model", "conversation", "previous_response_id"), st.just("tiny") | JSON),
        **dict.fromkeys(("input", "instructions", "tools", "tool_choice", "text", "metadata", "include", "stop"), JSON),
        **dict.fromkeys(("temperature", "max_output_tokens", "top_p", "seed", "top_logprobs", "n", "priority"), JSON),
    },
)
MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES), "id": st.sampled_from(["a", "b"]) | JSON},
    optional={"response": FIELDS, "conversation": st.text(max_size=8), "after": JSON, "limit": JSON},
)


@given(st.lists(MESSAGES, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
async def test_any_messages_are_answered_or_refused(messages: list[Any]) -> None:
    async with board() as made, made.connect() as client:
        for message in messages:
            await client.ws.send_json(message)
        await client.send("ping", "last")
        while (told := await client.next()).get("id") != "last":
            error = told["event"].get("error") or {}
            assert error.get("code") != "internal_error", error


async def test_too_many_messages_are_refused_and_then_the_socket_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "MESSAGES", 30)
    async with board() as made, made.connect() as one, made.connect() as other:
        for number in range(30):
            await (client := (one, other)[number % 2]).send("ping")
            assert await client.event() == {"type": "pong"}
        await one.send("ping", "late")
        told = await one.next()
        error = told["event"]["error"]
        assert (told["id"], error["code"]) == ("late", RateLimited.code)
        assert 0 < error["retry_after"] <= 2.0
        made.clock.advance(2.0)
        await one.send("ping", "later")
        assert (await one.next())["id"] == "later"
        for _ in range(MOST_REFUSED):
            await one.send("ping")
        assert await one.closed() == 4029


async def test_the_control_socket_carries_the_scope_of_administrators() -> None:
    async with board(make=make_admin_app) as made, made.connect() as client:
        await client.send("node.subscribe", "n")
        assert (await client.event())["type"] == "node.status"


async def test_sessions_and_tickets_of_the_control_socket_are_none_of_the_ports(memory: Memory) -> None:
    async with board(memory=memory) as made, serve(parts=made.served.parts, make=make_admin_app) as control:
        async with connect(control.client, control.url) as left:
            name = left.session
        async with made.connect(name, 0) as back:
            assert (back.resumed, back.session != name) == (False, True)
            assert await back.event() == {"type": "session.gap", "after": 0, "next": None}
        given = await ticket(control.client, control.url)
        assert (await handshake(made, UPGRADE, ticket=given))[0] == 401
    assert await memory.audit.newest(10) == []  # opening one is nobody's business but the opener's


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
    async with board(memory=memory, write_timeout=0.3) as made:
        given = await ticket(*made.at)
        with contextlib.closing(socket.socket()) as raw:
            replay = {"type": "conversation.replay", "id": "r", "conversation": conversation}
            await stall(raw, made.served.address, given, json.dumps(replay).encode())
            await until(lambda: made.closes("lost") == 1)
        assert made.served.parts.http.stalled[()] == 1
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
    monkeypatch.setattr(sockets, "HEARTBEAT", 0.2)
    turns = [NewTurn(role="user", content=str(number) * 30_000) for number in range(10)]
    conversation = (await memory.conversations.create("local", turns)).id
    loop = asyncio.get_running_loop()
    async with board(memory=memory, write_timeout=0.4) as made:
        given = await ticket(*made.at)
        with contextlib.closing(socket.socket()) as raw:
            replay = {"type": "conversation.replay", "id": "r", "conversation": conversation}
            await stall(raw, made.served.address, given, json.dumps(replay).encode())
            told = b""
            while b"conversation.replayed" not in told[-2000:]:
                more = await loop.sock_recv(raw, 2000)
                assert more, "it was closed"
                told += more
                await asyncio.sleep(0.01)
            assert told.count(b"conversation.item") == 10
            await until(lambda: made.closes("lost") == 1)  # now nothing is before the pong that it does not send
        assert made.served.parts.http.stalled[()] == 0


async def test_large_events_do_not_close_a_reader_that_reads() -> None:
    """Several of more than the whole bound, one after the other."""
    async with board() as made, made.connect(max_msg_size=0) as client:
        events = await client.respond(instructions="x" * (MOST + 1000), store=False)
        assert events[-1]["type"] == "response.completed"
        assert len(events[0]["response"]["instructions"]) > MOST


async def test_an_idle_socket_does_not_hold_the_end_up_and_a_running_response_may_end() -> None:
    executor = FakeExecutor(hold="decode")
    async with board(executor, drain=20.0) as made, made.connect() as idle, made.connect() as busy:
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
    front = Front(make_app(fake_parts(executor, drain=3.0)), "tcp")
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


async def test_sockets_and_sessions_are_counted() -> None:
    async with board() as made:
        metrics = made.served.parts.http
        async with made.connect(), made.connect():
            assert (metrics.sockets[()], metrics.sessions[()]) == (2, 2)
        await until(lambda: metrics.sockets[()] == 0)
        assert (metrics.sessions[()], made.closes("client")) == (2, 2)
