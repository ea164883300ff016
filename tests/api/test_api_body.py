from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
from fakes.pool import until
from fakes.served import serve
from msgspec import structs

from mongarsd.api import limits
from mongarsd.api.body import MAX_BRACKETS, check_plain, parse
from mongarsd.api.openai.requests import ChatRequest
from mongarsd.ground.errors import BadRequest, Busy

DECODER = msgspec.json.Decoder(ChatRequest)
TURN = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "x"}, "messages"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [TURN, {"role": "alien", "content": "x"}]}, "messages[1].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [TURN], "temperature": "hot"}, "temperature"),
        ({"messages": [TURN], "temperature": -1}, "temperature"),
        ({"messages": [TURN], "top_p": 2}, "top_p"),
        ({"messages": [TURN], "top_k": 10**30}, "top_k"),
        ({"messages": [TURN], "max_tokens": -2}, "max_tokens"),
        ({"messages": [TURN], "n": 99}, "n"),
        ({"messages": [TURN], "stop": ["a" * 257]}, "stop[0]"),
        ({"messages": [TURN], "logit_bias": {"a": 1}}, "logit_bias"),
        ({"messages": [TURN], "logit_bias": {"1": 999}}, "logit_bias[...]"),
        ({"messages": [TURN], "samplers": ["top_k", "none"]}, "samplers[1]"),
        ({"messages": [TURN], "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"messages": [TURN], "priority": "vip"}, "priority"),
    ],
)
def test_a_complaint_names_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(json.dumps(fields).encode(), DECODER)
    assert caught.value.param == param
    assert caught.value.message.startswith(f"{param}: ")
    assert "`" not in caught.value.message
    assert "null" not in caught.value.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[" * 600_000,
        b"[]",
        b"null",
        b'{"messages": NaN}',
        b'{"x": "\xff"}',
        b'\xef\xbb\xbf{"messages": []}',
        b'{"messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"messages":[{"role":"user","content":"x"}],"top_k":' + b"9" * 5000 + b"}",
    ],
)
def test_garbage_is_a_bad_request(data: bytes) -> None:
    with pytest.raises(BadRequest):
        parse(data, DECODER)


@pytest.mark.parametrize("pair", [b"{}", b"[]"])
def test_brackets_are_counted_before_they_are_decoded(pair: bytes) -> None:
    """Also in fields that are ignored."""
    body = b'{"messages":[{"role":"user","content":"x"}],"zzz":[' + b",".join([pair] * MAX_BRACKETS) + b"]}"
    with pytest.raises(BadRequest, match="brackets"):
        parse(body, DECODER)


def test_unknown_fields_are_ignored() -> None:
    body = b'{"messages":[{"role":"user","content":"x","z":1}],"zzz":{"a":[1]},"big":' + b"9" * 5000 + b',"seed":2}'
    assert parse(body, DECODER).seed == 2


@pytest.mark.parametrize(
    "more",
    [
        '"seed":1,"seed":2',
        '"zzz":[{"seed":1,"\\u0073eed":1}]',
        '"messages":[{"role":"user","role":"user","content":""}]',
    ],
)
def test_a_name_that_stands_twice_is_refused(more: str) -> None:
    """Also in fields that are ignored: a proxy before us may go by them."""
    body = '{"messages":[{"role":"user","content":"x"},{"role":"user","content":"x"}],' + more + "}"
    with pytest.raises(BadRequest, match="twice"):
        parse(body.encode(), DECODER)


def test_free_form_json_is_bounded() -> None:
    check_plain({"a": [1, -(2**63), 1.5, None, {"b": "c"}]}, "x")
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    for bad in (2**63, [-(2**63) - 1], deep):
        with pytest.raises(BadRequest) as caught:
            check_plain({"a": bad}, "x")
        assert caught.value.param == "x"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_is_refused(chunked: bool) -> None:
    async def pieces() -> Any:
        for _ in range(8):
            yield b" " * 512

    async with serve(max_body=1024) as served:
        data: Any = pieces() if chunked else b" " * 4096
        headers = {"Content-Type": "application/json"}
        body = await served.json("POST", "/v1/chat/completions", 413, data=data, headers=headers)
        assert body["error"]["code"] == "request_too_large"
        assert body["error"]["limit"] == 1024
        assert (await served.chat())["choices"]


async def test_a_compressed_body_is_refused() -> None:
    async with serve() as served:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        await served.json("POST", "/v1/completions", 415, data=b"\x1f\x8b", headers=headers)


async def test_a_slow_body_is_given_up() -> None:
    async with serve() as served:
        reader, writer = await asyncio.open_connection(*served.address)
        await until(lambda: served.parts.http.connections[("tcp",)] == 1)
        settings = served.parts.settings
        impatient = structs.replace(settings.server, header_timeout=0.05)
        served.parts.settings = structs.replace(settings, server=impatient)  # from the body on, not from the header
        writer.write(
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_all_bodies_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(max_body=1024) as served:
        monkeypatch.setattr("mongarsd.api.body.BODIES_AT_ONCE", 0)
        body = await served.chat(503)
        assert body["error"]["code"] == "busy"


def test_what_was_held_is_given_back() -> None:
    bodies = limits.Bodies()
    with bodies.hold() as hold:
        hold.take(10, 10)
        assert bodies.held == 10
        with pytest.raises(Busy):
            hold.take(1, 10)
    assert bodies.held == 0
