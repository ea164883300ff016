"""A schema or tool that cannot be kept is a 400 with the reason, even while all slots are taken; the worker lives."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from fakes.daemon_process import MODEL, DaemonProcess, running


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}
WIDE = {"type": "object", "properties": {f"property{i}": {"type": "string"} for i in range(5000)}}
SCHEMAS: dict[str, tuple[dict[str, Any], str]] = {
    "recursive without end": (
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/node"}}, "$defs": {"node": NODE}},
        "recursive without an end",
    ),
    "allOf of itself": ({"type": "object", "allOf": [{"$ref": "#"}]}, "contains itself"),
    "two that need each other": (
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/a"}},
            "required": ["a"],
            "$defs": {
                "a": {"type": "array", "items": {"$ref": "#/$defs/b"}, "minItems": 1},
                "b": {"$ref": "#/$defs/a"},
            },
        },
        "recursive without an end",
    ),
    "too deep": (nested(60), "deep"),
    "too many properties": (WIDE, "too large"),
    "too many values": (
        {"type": "object", "properties": {"a": {"enum": [f"value {i}" for i in range(20_000)]}}},
        "large",
    ),
    "a keyword that is not supported": (
        {"type": "object", "properties": {"a": {"if": {"type": "string"}}}},
        "if is not supported",
    ),
    "a reference to elsewhere": (
        {"type": "object", "properties": {"a": {"$ref": "https://example.com/s.json"}}},
        "only references within",
    ),
    "a pattern that looks ahead": (
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?=a)b$"}}},
        "look-around",
    ),
}
LIGHT = {"type": "function", "function": {"name": "set_light"}}
TOOLS: dict[str, tuple[list[Any], str, str]] = {
    "spaces": ([{"type": "function", "function": {"name": "set light"}}], "name", "letters"),
    "empty": ([{"type": "function", "function": {"name": ""}}], "name", "letters"),
    "long": ([{"type": "function", "function": {"name": "x" * 65}}], "name", "letters"),
    "quotes": ([{"type": "function", "function": {"name": 'a"b'}}], "name", "letters"),
    "not a text": ([{"type": "function", "function": {"name": 7}}], "name", "letters"),
    "twice": ([LIGHT, LIGHT], "name", "two tools are named set_light"),
}


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    with running(env={"MONGARSD_INFERENCE_SLOTS": "1"}, state="state?step=0.1&rest=x") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def held(daemon: DaemonProcess) -> HTTPResponse:
    """A stream that has the only slot, for 350 s."""
    response = daemon.chat(daemon.connect(), max_tokens=3500)
    assert response.status == 200
    assert response.readline()
    limit = time.monotonic() + 60
    while load(daemon) != (1, 0):
        assert time.monotonic() < limit, "it has no slot"
        time.sleep(0.02)
    return response


def load(daemon: DaemonProcess) -> tuple[int, int]:
    """(busy slots, queued jobs)"""
    (model,) = [model for model in daemon.admin("/admin/status")["models"] if model["name"] == MODEL]
    return model["busy_slots"], model["queued"]


def workers(daemon: DaemonProcess) -> str:
    return Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text()


def refused(daemon: DaemonProcess, held: HTTPResponse, **fields: Any) -> dict[str, Any]:
    """The error; nobody waits for the slot, and who has it goes on with the same worker."""
    before = workers(daemon)
    response = daemon.chat(daemon.connect(), max_tokens=5, **fields)
    body = json.loads(response.read())
    assert response.status == 400, body
    assert load(daemon) == (1, 0)
    assert held.readline()
    assert workers(daemon) == before
    return body["error"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_that_cannot_be_kept(daemon: DaemonProcess, held: HTTPResponse, kind: str) -> None:
    schema, why = SCHEMAS[kind]
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    error = refused(daemon, held, response_format=form)
    assert error["param"] == "response_format.json_schema.schema"
    assert why in error["message"]


@pytest.mark.parametrize("kind", TOOLS)
def test_a_tool_with_a_bad_name(daemon: DaemonProcess, held: HTTPResponse, kind: str) -> None:
    tools, field, why = TOOLS[kind]
    error = refused(daemon, held, tools=tools)
    assert error["param"] == f"tools[0].function.{field}"
    assert why in error["message"]
