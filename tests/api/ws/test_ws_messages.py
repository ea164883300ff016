"""Messages that are wrong, too large or too many: what their client is told, and when its socket is closed."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from fakes.boards import board
from fakes.pool import until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongarsd.api.ws import hub
from mongarsd.api.ws.dispatch import MOST_REFUSED
from mongarsd.api.ws.socket import MAX_MESSAGE
from mongarsd.ground.errors import RateLimited

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
