"""Who may open a socket, and what of it is told to whom."""

from __future__ import annotations

import json
import logging

import pytest
from fakes.boards import board, hashes, key
from fakes.pool import until
from fakes.served import serve
from fakes.sockets import UPGRADE, connect, refusal, ticket

from mongarsd.api.app import make_admin_app
from mongarsd.memory.room import Memory


async def test_it_takes_a_ticket_that_is_good_once() -> None:
    async with board(key_hashes=hashes("anna")) as made:
        for wrong in ({}, {"ticket": ""}, {"ticket": "wst_" + "A" * 43}):
            status, body = await refusal(*made.at, UPGRADE | key("anna"), **wrong)  # a key does not replace it
            assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        given = await ticket(*made.at, key("anna"))
        url = f"{made.served.url}/v1/ws?ticket={given}"
        async with made.served.client.ws_connect(url) as ws:
            assert (await ws.receive_json())["event"]["type"] == "session.opened"
        assert (await refusal(*made.at, ticket=given))[0] == 401
        made.clock.advance(1.0)
        late = await ticket(*made.at, key("anna"))
        made.clock.advance(30.0)
        assert (await refusal(*made.at, ticket=late))[0] == 401


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


async def test_strangers_pages_get_no_socket() -> None:
    async with board(allowed_origins=("https://chat.example",)) as made:
        given = await ticket(*made.at)
        status, body = await refusal(*made.at, UPGRADE | {"Origin": "http://evil.example"}, ticket=given)
        assert (status, body["error"]["code"]) == (403, "forbidden")
        status, _ = await refusal(*made.at, UPGRADE | {"Host": "evil.example"}, ticket=given)
        assert status == 421
        status, _ = await refusal(*made.at, UPGRADE | {"Origin": "null"}, ticket=given)
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
            assert (await refusal(*made.at, UPGRADE | {name: value}, ticket=given))[0] in (400, 426)
        async with made.served.client.ws_connect(f"{url}?ticket={given}") as ws:  # which they did not cost
            assert (await ws.receive_json())["event"]["type"] == "session.opened"


async def test_tickets_are_in_no_log_and_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with board() as made:
        given = await ticket(*made.at)
        async with made.served.client.ws_connect(f"{made.served.url}/v1/ws?ticket={given}"):
            pass
        await until(lambda: "GET /v1/ws 101" in caplog.text)
        _, body = await refusal(*made.at, ticket=given)
        assert given not in json.dumps(body)
    ours = [one for one in caplog.records if one.name.startswith(("mongarsd", "aiohttp"))]
    assert ours
    assert not any(given in one.getMessage() for one in ours)


async def test_keys_that_come_as_subprotocols_are_refused_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with board() as made:
        given = await ticket(*made.at)
        headers = UPGRADE | {"Sec-WebSocket-Protocol": "openai-insecure-api-key.sk-secret"}
        assert (await refusal(*made.at, headers, ticket=given))[0] == 400
    assert "sk-secret" not in "".join(one.getMessage() for one in caplog.records)


async def test_sessions_and_tickets_of_the_control_socket_are_none_of_the_ports(memory: Memory) -> None:
    async with board(memory=memory) as made, serve(parts=made.served.parts, make=make_admin_app) as control:
        async with connect(control.client, control.url) as left:
            name = left.session
        async with made.connect(name, 0) as back:
            assert (back.resumed, back.session != name) == (False, True)
            assert await back.event() == {"type": "session.gap", "after": 0, "next": None}
        given = await ticket(control.client, control.url)
        assert (await refusal(*made.at, ticket=given))[0] == 401
    assert await memory.audit.newest(10) == []  # opening one is nobody's business but the opener's


async def test_the_control_socket_carries_the_scope_of_administrators() -> None:
    async with board(make=make_admin_app) as made, made.connect() as client:
        await client.send("node.subscribe", "n")
        assert (await client.event())["type"] == "node.status"
