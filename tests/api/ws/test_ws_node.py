"""node.status: who may have it, when it comes, and when it does not."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.boards import board
from fakes.models import node_status
from fakes.pool import until
from msgspec import structs

from mongarsd.api.app import make_admin_app
from mongarsd.api.ws.node import LONGEST, gist
from mongarsd.ground.status import ModelStatus, NodeStatus

STATUS = structs.replace(node_status(), models=(ModelStatus(name="tiny", digest="sha256:0", size=1, slots=4),))


def changed(**model: Any) -> NodeStatus:
    return structs.replace(STATUS, models=(structs.replace(STATUS.models[0], **model),))


@pytest.mark.parametrize("model", [
    {"state": "ready"}, {"busy_slots": 1}, {"queued": 3}, {"error": "x"}, {"slots": 2}, {"reduced": "memory"},
    {"warnings": ("w",)}, {"restarts": 1}, {"threads": 2}, {"name": "other"},
])  # fmt: skip
def test_what_models_do_matters(model: dict[str, Any]) -> None:
    assert gist(changed(**model)) != gist(STATUS)


def test_so_do_warnings_and_throttling() -> None:
    assert gist(structs.replace(STATUS, warnings=("hot",))) != gist(STATUS)
    assert gist(structs.replace(STATUS, board=structs.replace(STATUS.board, throttled="hot"))) != gist(STATUS)


def test_what_always_moves_does_not() -> None:
    board = structs.replace(STATUS.board, temperature=60.0, load=3.0, memory_available=1)
    moved = structs.replace(
        changed(idle_for=9.0, memory=7, decode_rate=1.5, expires_in=3.0, cached_tokens=5), uptime=99
    )
    assert gist(structs.replace(moved, memory=3, board=board)) == gist(STATUS)


async def test_a_subscriber_is_told_at_once_then_when_something_changes_and_now_and_then() -> None:
    async with board(make=make_admin_app) as made, made.connect() as socket:
        made.served.parts.status = lambda: STATUS
        await socket.send("node.subscribe", "n")
        told = await socket.next()
        assert (told["id"], told["event"]["type"], "seq" in told) == ("n", "node.status", False)
        assert told["event"]["status"]["models"][0]["slots"] == 4
        made.hub.node.tick()
        while (await until_pong(socket)) > 0:  # the first sample of all
            pass
        made.hub.node.tick()
        assert await until_pong(socket) == 0
        made.served.parts.status = lambda: changed(busy_slots=1)
        made.hub.node.tick()
        assert (await socket.event())["status"]["models"][0]["busy_slots"] == 1
        made.clock.advance(LONGEST)
        made.hub.node.tick()
        assert (await socket.event())["type"] == "node.status"
        await socket.send("node.unsubscribe")
        assert await until_pong(socket) == 0
        made.served.parts.status = lambda: STATUS
        made.hub.node.tick()
        assert await until_pong(socket) == 0


async def until_pong(socket: Any) -> int:
    """How many events came before the answer to a ping."""
    await socket.send("ping", "p")
    events = 0
    while (await socket.event())["type"] != "pong":
        events += 1
    return events


async def test_a_session_that_comes_back_is_told_at_once() -> None:
    async with board(make=make_admin_app) as made:
        async with made.connect() as socket:
            await socket.send("node.subscribe", "n")
            assert (await socket.event())["type"] == "node.status"
            name = socket.session
        await until(lambda: made.hub.sessions[name].reader is None)
        async with made.connect(name, 0) as socket:
            assert (await socket.event())["type"] == "node.status"


async def test_others_may_not() -> None:
    async with board() as made, made.connect() as socket:
        await socket.send("node.subscribe", "n")
        assert (await socket.event())["error"]["code"] == "forbidden"
