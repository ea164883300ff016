"""Long checks run in a thread of their own, and all doors send theirs there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from fakes.served import Served

from mongarsd.api.aside import Aside
from mongarsd.ground.errors import BadRequest

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION = {"name": "f", "parameters": SCHEMA}
TOOLS = [{"type": "function", "function": FUNCTION}]
SAID = [{"role": "user", "content": "Hi"}]


async def test_the_loop_goes_on_meanwhile() -> None:
    gate = threading.Event()
    waiting = asyncio.create_task(Aside()(True, gate.wait, 30))
    await asyncio.to_thread(lambda: None)  # the loop turns, and a thread has been through
    gate.set()
    assert await waiting


async def test_what_is_short_needs_no_thread_and_long_things_share_one() -> None:
    aside = Aside()
    assert await aside(False, threading.current_thread) is threading.current_thread()
    first, second = await asyncio.gather(*(aside(True, threading.current_thread) for _ in range(2)))
    assert first is second is not threading.current_thread()


@pytest.mark.parametrize("long", [False, True])
async def test_what_is_raised_comes_through(long: bool) -> None:
    def refuse(why: str) -> None:
        raise BadRequest(why, param="x")

    with pytest.raises(BadRequest, match="bad"):
        await Aside()(long, refuse, why="bad")


class Recording(Aside):
    """Remembers what was sent where."""

    def __init__(self) -> None:
        super().__init__()
        self.long: list[bool] = []

    async def __call__(self, long: bool, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self.long.append(long)
        return await super().__call__(long, function, *args, **kwargs)


@pytest.mark.parametrize(
    ("path", "body", "forms"),
    [
        (
            "/v1/chat/completions",
            {"messages": SAID},
            [
                {"tools": TOOLS},
                {"functions": [FUNCTION]},
                {"json_schema": SCHEMA},
                {"grammar": 'root ::= "a"'},
                {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
            ],
        ),
        ("/v1/completions", {"prompt": "Hi"}, [{"json_schema": SCHEMA}, {"grammar": 'root ::= "a"'}]),
        (
            "/v1/responses",
            {"input": "Hi", "store": False},
            [
                {"tools": [{"type": "function", **FUNCTION}]},
                {"text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}}},
            ],
        ),
        (
            "/v1/messages",
            {"messages": SAID, "max_tokens": 5},
            [
                {"tools": [{"name": "f", "input_schema": SCHEMA}]},
                {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            ],
        ),
        ("/api/chat", {"messages": SAID, "stream": False}, [{"tools": TOOLS}, {"format": SCHEMA}]),
        ("/api/generate", {"prompt": "Hi", "stream": False}, [{"format": SCHEMA}]),
    ],
)
async def test_every_door_has_its_forms_checked_there(
    served: Served, path: str, body: dict[str, Any], forms: list[dict[str, Any]]
) -> None:
    aside = served.parts.aside = Recording()
    for form in ({}, *forms):
        await served.json("POST", path, json={"model": "tiny", **body, **form})
    assert aside.long == [False, *(True for _ in forms)]


async def test_a_client_without_a_form_is_answered_while_a_form_is_checked(served: Served) -> None:
    gate = threading.Event()
    blocking = asyncio.create_task(served.parts.aside(True, gate.wait, 30))
    checked = asyncio.create_task(served.chat(tools=TOOLS))
    await served.chat()
    assert not checked.done()
    gate.set()
    assert await blocking
    await checked
