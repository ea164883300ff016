"""conversation.replay: all of a conversation, in order, whatever it weighs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakes.boards import board, hashes, key
from fakes.sockets import Socket

from mongarsd.api.credentials import Identity
from mongarsd.api.ws.closing import Reason
from mongarsd.api.ws.log import MOST
from mongarsd.api.ws.session import Session
from mongarsd.ground.clock import FakeClock
from mongarsd.ground.tasks import Tasks
from mongarsd.memory.conversations.types import NewTurn
from mongarsd.memory.room import Memory


async def replayed(socket: Socket, conversation: str, **fields: Any) -> tuple[list[Any], dict[str, Any]]:
    """The items, and the last event."""
    await socket.send("conversation.replay", "r", conversation=conversation, **fields)
    items = []
    while (event := await socket.event())["type"] == "conversation.item":
        items.append(event["item"])
    return items, event


async def test_items_come_as_they_do_over_http_oldest_first_and_in_pages(memory: Memory) -> None:
    turns = [NewTurn(role="user", content=f"turn {number}") for number in range(130)]
    made_one = await memory.conversations.create("local", turns)
    async with board(memory=memory) as made, made.connect() as socket:
        items, end = await replayed(socket, made_one.id, limit=1000)
        assert [one["content"][0]["text"] for one in items] == [one.content for one in turns]
        assert end == {
            "type": "conversation.replayed",
            "conversation": made_one.id,
            "last_id": items[-1]["id"],
            "has_more": False,
        }
        path = f"/v1/conversations/{made_one.id}/items?order=asc&limit=100"
        assert (await made.served.json("GET", path))["data"] == items[:100]
        first, end = await replayed(socket, made_one.id, limit=60)
        assert (first, end["has_more"], end["last_id"]) == (items[:60], True, items[59]["id"])
        rest, end = await replayed(socket, made_one.id, after=items[59]["id"])
        assert (rest, end["has_more"]) == (items[60:], False)
        nothing, end = await replayed(socket, made_one.id, after=items[-1]["id"])
        assert (nothing, end["last_id"], end["has_more"]) == ([], items[-1]["id"], False)


async def test_an_empty_conversation_is_replayed_at_once(memory: Memory) -> None:
    made_one = await memory.conversations.create("local", [])
    async with board(memory=memory) as made, made.connect() as socket:
        assert await replayed(socket, made_one.id) == (
            [],
            {"type": "conversation.replayed", "conversation": made_one.id, "last_id": None, "has_more": False},
        )


async def test_far_more_than_may_wait_is_replayed_as_fast_as_it_is_read(memory: Memory) -> None:
    turns = [NewTurn(role="user", content=str(number % 10) * 60_000) for number in range(20)]
    turns.append(NewTurn(role="user", content="x" * (MOST + 5000)))
    made_one = await memory.conversations.create("local", turns)
    async with board(memory=memory) as made, made.connect(max_msg_size=0) as socket:
        items, _ = await replayed(socket, made_one.id)
        assert [one["content"][0]["text"] for one in items] == [one.content for one in turns]
        assert made.hub.sessions[socket.session].log.first > 1  # it did not wait in RAM


async def test_a_large_item_waits_for_a_slow_reader_and_does_not_close_it() -> None:
    session, reader = Session("ws_1", Identity("", frozenset()), FakeClock(), Tasks("test")), Slow()
    session.attach(reader, session.who, 0)
    await session.send([b"1" * 60_000])
    waiting = asyncio.ensure_future(session.flow(MOST - 60_000))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    while session.next():
        pass
    await waiting
    await session.send([b"2" * (MOST - 60_000)])
    assert reader.reason is None


@pytest.mark.parametrize("name", ["", "i" * 64])
async def test_what_fits_with_all_that_stands_around_it_closes_nobody(name: str) -> None:
    """To the byte: an event that fits takes the place of none that was not sent."""
    session, reader = Session("ws_1", Identity("", frozenset()), FakeClock(), Tasks("test")), Slow()
    session.attach(reader, session.who, 0)
    await session.send([b"1" * 60_000], name)
    for size in range(MOST - 60_000 - 800, MOST - 60_000):
        if not session._fits(size):
            break
        fits = size
    await session.send([b"2" * fits], name)
    assert (reader.reason, session.log.first) == (None, 1)


class Slow:
    """Takes nothing by itself."""

    reason: Reason | None = None

    def close(self, reason: Reason) -> None:
        self.reason = reason

    def tell(self, frame: bytes) -> None:
        raise AssertionError("nobody subscribed")


async def test_a_replay_waits_while_nobody_reads_and_can_be_cancelled(memory: Memory) -> None:
    turns = [NewTurn(role="user", content="x" * 60_000) for _ in range(90)]
    made_one = await memory.conversations.create("local", turns)
    async with board(memory=memory) as made:
        async with made.connect() as socket:
            await socket.send("conversation.replay", "r", conversation=made_one.id)
            await socket.next()
            name, seq = socket.session, socket.seq
        session = made.hub.sessions[name]
        assert session.running
        assert session.log.last < 90
        async with made.connect(name, seq) as socket:
            event = await socket.event()
            assert event["type"] in ("conversation.item", "session.gap")
            await socket.send("response.cancel", "r")
            last = ""
            while event["type"] != "conversation.replayed":
                last = event["item"]["id"] if "item" in event else last
                event = await socket.event()
            assert (event["last_id"], event["has_more"]) == (last, True)
            assert not session.running


async def test_conversations_of_others_are_not_there(memory: Memory) -> None:
    async with board(memory=memory, key_hashes=hashes("anna", "bert")) as made:
        theirs = await made.served.json("POST", "/v1/conversations", json={}, headers=key("bert"))
        async with made.connect(headers=key("anna")) as socket:
            _, end = await replayed(socket, theirs["id"])
            assert end["error"]["code"] == "not_found"
