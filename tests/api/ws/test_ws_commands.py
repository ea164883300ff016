from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.api.ws.commands import CreateResponse, Ping, ReplayConversation, command, name_of
from mongarsd.ground.errors import BadRequest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TYPES = ("response.create", "response.cancel", "conversation.replay", "node.subscribe", "node.unsubscribe", "ping")


def test_the_type_tells_what_is_meant() -> None:
    create = command(b'{"type":"response.create","id":"c1","response":{"input":"Hi","stream":false},"extra":1}')
    assert isinstance(create, CreateResponse)
    assert create.response.input == "Hi"
    assert command(b'{"type":"ping"}') == Ping()
    replay = command(b'{"type":"conversation.replay","id":"r","conversation":"conv_1"}')
    assert isinstance(replay, ReplayConversation)
    assert (replay.after, replay.limit) == (None, 100)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"type": "response.create", "id": "c1"}, "response"),
        ({"type": "response.create", "response": {}}, "id"),
        ({"type": "response.create", "id": "c1", "response": {"temperature": -1}}, "response.temperature"),
        ({"type": "response.create", "id": "c1", "response": {"input": [{"role": "boss"}]}}, "response.input[0].role"),
        ({"type": "conversation.replay", "id": "r", "conversation": "c", "limit": 0}, "limit"),
        ({"type": "conversation.replay", "id": "r", "conversation": "c", "limit": 10**30}, "limit"),
        ({"type": "conversation.replay", "id": "r", "conversation": "c" * 200}, "conversation"),
        ({"type": "nonsense"}, "type"),
        ({"type": 1}, "type"),
        ({}, "type"),
        *(({"type": "ping", "id": text}, "id") for text in ("", "a" * 65, 'a"', "a\n", "ä", "a b", 1)),
    ],
)
def test_what_is_wrong_is_named(message: Any, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        command(json.dumps(message).encode())
    assert caught.value.param == param


@pytest.mark.parametrize("data", [b"", b"[]", b"nul", b"\xff", b'{"type":"ping"}{}', b"[" * 100_000, b'{"a":' * 50_000])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        command(data)
    assert name_of(data) == ""


def test_a_refused_message_keeps_its_name_if_that_is_one() -> None:
    assert name_of(b'{"type":"nonsense","id":"c-1.2:3_4"}') == "c-1.2:3_4"
    for name in ('"a\\n"', "1", "null", '"' + "a" * 65 + '"'):
        assert name_of(b'{"id":%b}' % name.encode()) == ""


@given(st.binary(max_size=200) | st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES) | JSON, "id": st.just("c1") | JSON},
    optional={"response": JSON, "conversation": JSON, "after": JSON, "limit": JSON},
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_message_is_a_command_or_refused(data: bytes) -> None:
    name = name_of(data)
    assert not name or name.isascii()
    try:
        found = command(data)
    except BadRequest:
        return
    assert (found.id or "") == name
