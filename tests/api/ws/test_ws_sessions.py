"""A session outlives its sockets: what it is resumed with, when it ends, and whose it is."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from fakes.boards import board, hashes, key
from fakes.executor import FakeExecutor
from fakes.pool import until
from fakes.sockets import Socket, refusal, text_of, ticket
from msgspec import structs

from mongarsd.api.ws import log
from mongarsd.api.ws.hub import KEEP, LOOK, MOST_LOST
from mongarsd.memory.room import Memory

WORDS = [f"word{number} " for number in range(150)]


class Slowly(FakeExecutor):
    """Lets others in between two deltas."""

    async def _wait(self, phase: Any) -> None:
        await super()._wait(phase)
        await asyncio.sleep(0.001)


async def begin(socket: Socket, name: str = "c1", **response: Any) -> None:
    await socket.send("response.create", name, response={"model": "tiny", "input": "Hi", **response})


@pytest.mark.parametrize("seed", range(8))
async def test_cuts_lose_nothing_and_repeat_nothing(seed: int) -> None:
    """Two responses at once, and a connection that is cut again and again, now and then for good measure by RST."""
    chance = random.Random(seed)
    seen: dict[str, list[dict[str, Any]]] = {"a": [], "b": []}
    async with board(FakeExecutor(WORDS)) as made:
        session, after, cuts = "", 0, 0
        while any(not events or events[-1]["type"] != "response.completed" for events in seen.values()):
            async with made.connect(session, after) as socket:
                assert socket.resumed == bool(session)
                if not session:
                    await begin(socket, "a")
                    await begin(socket, "b")
                session = socket.session
                for _ in range(chance.randint(0, 40)):
                    if all(events and events[-1]["type"] == "response.completed" for events in seen.values()):
                        break
                    told = await socket.next()
                    assert told["event"]["type"] != "session.gap"
                    seen[told["id"]].append(told["event"])
                    after = told["seq"]
                if chance.random() < 0.5:
                    transport = socket.ws._response.connection.transport
                    transport.abort()
                cuts += 1
    assert cuts > 3
    for events in seen.values():
        assert text_of(events) == "".join(WORDS)
        assert [one["sequence_number"] for one in events] == list(range(len(events)))


@pytest.mark.parametrize("seed", range(4))
async def test_a_gap_is_exactly_what_is_missing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is small: what was said while nobody read is lost, and the gap says so."""
    monkeypatch.setattr(log.Log.__init__, "__defaults__", (8000, 120.0))
    chance = random.Random(seed)
    async with board(FakeExecutor(WORDS, hold="decode")) as made:
        async with made.connect() as socket:
            await begin(socket)
            for _ in range(chance.randint(2, 5)):
                await socket.next()
            name, after = socket.session, socket.seq
        await until(lambda: made.hub.sessions[name].reader is None)
        made.executor.release()
        await until(lambda: not made.hub.sessions[name].running)
        kept = made.hub.sessions[name].log
        async with made.connect(name, after) as socket:
            gap = await socket.event()
            assert gap == {"type": "session.gap", "after": after, "next": kept.first}
            assert kept.first > after + 1
            events = await socket.rest("c1")  # checks that the numbers go on from there
            assert socket.seq == kept.last
    assert "".join(WORDS).endswith(text_of(events))
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "".join(WORDS)


async def test_who_comes_back_is_told_what_runs() -> None:
    async with board(FakeExecutor(WORDS, hold="decode")) as made:
        async with made.connect() as socket:
            assert (socket.opened["last"], socket.opened["running"]) == (0, [])
            await begin(socket)
            while (await socket.event())["type"] != "response.output_text.delta":
                pass
            name, after = socket.session, socket.seq
        await until(lambda: made.hub.sessions[name].reader is None)
        async with made.connect(name, after) as socket:
            assert socket.opened["running"] == ["c1"]
            made.executor.release()
            await socket.rest("c1")
        await until(lambda: made.hub.sessions[name].reader is None)
        async with made.connect(name, after) as again:
            assert (again.opened["last"], again.opened["running"]) == (socket.seq, [])
            assert (await again.rest("c1"))[-1]["type"] == "response.completed"


async def test_what_nobody_keeps_begins_anew_and_says_so() -> None:
    async with board() as made, made.connect("ws_unknown", 17) as socket:
        assert not socket.resumed
        assert await socket.event() == {"type": "session.gap", "after": 17, "next": None}
        assert text_of(await socket.respond()) == "Hello, world"


async def test_events_that_are_too_old_are_a_gap_too() -> None:
    async with board() as made:
        async with made.connect() as socket:
            await socket.respond()
            name, last = socket.session, socket.seq
        await until(lambda: made.hub.sessions[name].reader is None)
        made.hub.sessions[name].lost += log.LONGEST
        made.clock.advance(log.LONGEST)
        made.hub.look()
        async with made.connect(name, last) as socket:
            await socket.send("ping", "p")
            assert await socket.event() == {"type": "pong"}  # nothing was missed
        await until(lambda: made.hub.sessions[name].reader is None)
        async with made.connect(name, 1) as socket:
            assert await socket.event() == {"type": "session.gap", "after": 1, "next": last + 1}


async def test_a_response_goes_on_for_a_while_and_then_stops_and_is_stored(memory: Memory) -> None:
    async with board(FakeExecutor(hold="decode"), memory) as made:
        async with made.connect() as socket:
            await begin(socket)
            response = (await socket.event())["response"]["id"]
            name = socket.session
            while (await socket.event())["type"] != "response.output_text.delta":
                pass
        session = made.hub.sessions[name]
        await until(lambda: session.reader is None)
        made.clock.advance(KEEP - 1)
        made.hub.look()
        assert made.executor.running == 1
        made.clock.advance(1)
        made.hub.look()
        await until(lambda: made.executor.running == 0)
        async with made.connect(name, 0) as socket:
            assert not socket.resumed
        await until(lambda: not session.running)
        found = await made.served.json("GET", f"/v1/responses/{response}")
        assert (found["status"], found["output"][0]["content"][0]["text"]) == ("cancelled", "Hello")


async def test_a_second_socket_takes_the_place_of_the_first() -> None:
    async with board(FakeExecutor(hold="decode")) as made, made.connect() as first:
        await begin(first)
        while (await first.event())["type"] != "response.output_text.delta":
            pass
        async with made.connect(first.session, first.seq) as second:
            assert await first.closed() == 4001
            made.executor.release()
            assert text_of(await second.rest("c1")) == ", world"
        await until(lambda: made.closes("replaced") == 1)


async def test_a_session_belongs_to_its_account() -> None:
    async with board(key_hashes=hashes("anna", "bert")) as made, made.connect(headers=key("anna")) as anna:
        await anna.respond()
        async with made.connect(anna.session, 3, headers=key("bert")) as bert:
            assert not bert.resumed
            assert bert.session != anna.session
            assert (await bert.event())["next"] is None
            await bert.send("response.cancel", "c1")
            assert (await bert.event())["error"]["code"] == "not_found"
        await anna.send("ping")
        assert (await anna.event())["type"] == "pong"  # nobody took her place


async def test_a_number_that_was_never_told_is_refused() -> None:
    async with board() as made, made.connect() as socket:
        given = await ticket(*made.at)
        status, body = await refusal(*made.at, ticket=given, session=socket.session, after="1")
        assert (status, body["error"]["param"]) == (400, "after")


@pytest.mark.parametrize(("name", "value"), [
    ("after", "-1"), ("after", "x"), ("after", ""), ("after", "9" * 30), ("after", "1.5"), ("after", "٣"),
    ("session", "ws_"), ("session", "../etc"), ("session", "ws_" + "a" * 100), ("session", "ws_a\n"),
])  # fmt: skip
async def test_a_place_that_cannot_be_is_refused(name: str, value: str) -> None:
    async with board() as made:
        given = await ticket(*made.at)
        status, body = await refusal(*made.at, **{"ticket": given, name: value})
        assert (status, body["error"]["param"]) == (400, name)
        assert not made.hub.sessions


async def test_sessions_that_were_left_are_bounded() -> None:
    async with board() as made:
        names = []
        for _ in range(MOST_LOST + 2):
            made.clock.advance(0.1)
            async with made.connect() as socket:
                names.append(socket.session)
            await until(lambda: all(one.reader is None for one in made.hub.sessions.values()))
        assert list(made.hub.sessions) == names[2:]
        assert made.served.parts.http.sessions[()] == MOST_LOST


async def test_a_key_that_is_taken_away_closes_its_sockets_and_ends_what_runs(memory: Memory) -> None:
    made_key = await memory.access.create_key("phone", account="anna")
    other = await memory.access.create_key("laptop", account="anna")
    async with (
        board(FakeExecutor(hold="decode"), memory) as made,
        made.connect(headers=key(made_key.text)) as phone,
        made.connect(headers=key(other.text)) as laptop,
    ):
        await begin(phone)
        await until(lambda: made.executor.running > 0)
        made.hub.look()
        await memory.access.revoke(made_key.key.id)
        assert LOOK <= 15.0
        made.hub.look()
        assert await phone.closed() == 4003
        await until(lambda: made.executor.running == 0)
        assert set(made.hub.sessions) == {laptop.session}
        await laptop.send("ping")
        assert (await laptop.event())["type"] == "pong"


@pytest.mark.parametrize("how", ["removed", "password", "rotated"])
async def test_a_user_who_may_no_longer_loses_their_sockets(how: str, memory: Memory) -> None:
    await memory.access.add_user("anna", "a long password", account="anna")
    async with board(memory=memory) as made:
        token = await made.served.json("POST", "/v1/token", json={"username": "anna", "password": "a long password"})
        async with made.connect(headers=key(token["access_token"])) as socket:
            made.clock.advance(100_000)  # the token ran out long ago: that alone ends nothing
            made.hub.look()
            assert made.hub.sessions
            if how == "removed":
                await memory.access.remove_user("anna")
            elif how == "password":
                await memory.access.set_password("anna", "another password")
            else:
                await memory.access.rotate()
            made.hub.look()
            assert await socket.closed() == 4003
            assert not made.hub.sessions


async def test_a_static_key_that_is_taken_out_of_the_settings_closes_its_sockets() -> None:
    async with (
        board(key_hashes=hashes("anna", "bert")) as made,
        made.connect(headers=key("anna")) as anna,
        made.connect(headers=key("bert")) as bert,
    ):
        settings = made.served.parts.settings
        server = structs.replace(settings.server, key_hashes=hashes("bert"))
        made.served.parts.settings = structs.replace(settings, server=server)
        made.hub.look()
        assert await anna.closed() == 4003
        assert set(made.hub.sessions) == {bert.session}


async def test_the_first_key_closes_what_needed_none(memory: Memory) -> None:
    async with board(memory=memory) as made, made.connect() as socket:
        await memory.access.create_key("first", account="anna")
        made.hub.look()
        assert await socket.closed() == 4003
