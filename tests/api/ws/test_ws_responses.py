"""Responses over a WebSocket: the events of the streamed Responses API, and what stops them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fakes.boards import board, hashes, key
from fakes.executor import FakeExecutor, Phase
from fakes.pool import until
from fakes.sockets import Socket, text_of
from msgspec import structs

from mongarsd.api.ws.dispatch import Dispatcher
from mongarsd.api.ws.session import MOST_RUNNING
from mongarsd.ground.errors import Busy, ErrorInfo
from mongarsd.ground.job import FinishReason
from mongarsd.memory.room import Memory


async def begin(socket: Socket, name: str, **response: Any) -> None:
    await socket.send("response.create", name, response={"model": "tiny", "input": "Hi", **response})


async def test_the_events_are_those_of_the_stream(memory: Memory) -> None:
    async with board(memory=memory) as made:
        body = {"model": "tiny", "input": "Hi", "instructions": "Be brief."}
        async with made.served.client.post(made.served.url + "/v1/responses", json=body | {"stream": True}) as stream:
            blocks = (await stream.text()).strip().split("\n\n")
        over_http = [json.loads(block.partition("data: ")[2]) for block in blocks]
        async with made.connect() as socket:
            over_ws = await socket.respond(**body, stream=False)
        stored = await made.served.json("GET", f"/v1/responses/{over_ws[-1]['response']['id']}")

    def same(event: Any) -> Any:
        """Without what is another's in every response."""
        if isinstance(event, dict):
            named = {"id", "item_id", "created_at", "completed_at", "conversation_id"}
            return {name: same(value) for name, value in event.items() if name not in named}
        return [same(one) for one in event] if isinstance(event, list) else event

    assert same(over_ws) == same(over_http)
    assert over_ws[-1]["type"] == "response.completed"
    assert stored == over_ws[-1]["response"]
    assert stored["conversation_id"].startswith("conv_")


async def test_a_cut_answer_is_incomplete() -> None:
    async with board(FakeExecutor(reason=FinishReason.LENGTH)) as made, made.connect() as socket:
        assert (await socket.respond())[-1]["type"] == "response.incomplete"


@pytest.mark.parametrize(
    ("response", "param", "code"),
    [
        ({"model": "nobody"}, "model", "model_not_found"),
        ({"input": None}, "input", "invalid_request"),
        ({"previous_response_id": "resp_1"}, None, "storage_unavailable"),
        ({"background": True}, "background", "invalid_request"),
    ],
)
async def test_what_is_refused_at_once_is_one_error(response: dict[str, Any], param: str | None, code: str) -> None:
    async with board() as made, made.connect() as socket:
        (error,) = await socket.respond(**response)
        assert (error["error"]["param"], error["error"]["code"]) == (param, code)
        assert text_of(await socket.respond()) == "Hello, world"  # the id is free again


async def test_a_full_queue_is_one_error_that_says_when_to_come_back() -> None:
    async with board(FakeExecutor(refuse=Busy("full", retry_after=3.0, position=7))) as made, made.connect() as socket:
        (error,) = await socket.respond()
        assert (error["error"]["type"], error["error"]["position"]) == ("overloaded_error", 7)


async def test_a_failure_half_way_ends_the_events() -> None:
    async with board(FakeExecutor(fail=ErrorInfo("worker_crashed", "it died"))) as made, made.connect() as socket:
        await begin(socket, "c1")
        events = [await socket.event()]
        while events[-1]["type"] != "response.failed":
            events.append(await socket.event())
    assert events[-2]["type"] == "error"
    assert events[-1]["response"]["error"]["code"] == "worker_crashed"
    assert [one["sequence_number"] for one in events] == list(range(len(events)))


@pytest.mark.parametrize("phase", ["queue", "prefill", "decode"])
async def test_cancelling_frees_the_slot_at_once(phase: Phase, memory: Memory) -> None:
    async with board(FakeExecutor(hold=phase), memory) as made, made.connect() as socket:
        await begin(socket, "c1")
        await until(lambda: made.executor.running > 0)
        if phase == "decode":
            while (await socket.event())["type"] != "response.output_text.delta":
                pass
        await socket.send("response.cancel", "c1")
        events = await socket.rest("c1")
        assert events[-1]["type"] == "response.cancelled"
        assert made.executor.running == 0
        response = events[-1]["response"]
        assert response["status"] == "cancelled"
        said = response["output"][0]["content"][0]["text"]
        assert said == ("Hello" if phase == "decode" else "")
        assert response["output"][0]["status"] == "incomplete"
        assert await made.served.json("GET", f"/v1/responses/{response['id']}") == response
        await socket.send("response.cancel", "c1")
        assert (await socket.event())["error"]["code"] == "not_found"


async def test_a_cancelled_response_that_is_not_to_be_stored_is_not(memory: Memory) -> None:
    async with board(FakeExecutor(hold="decode"), memory) as made, made.connect() as socket:
        await begin(socket, "c1", store=False)
        await until(lambda: made.executor.running > 0)
        await socket.send("response.cancel", "c1")
        response = (await socket.rest("c1"))[-1]["response"]
        assert response["store"] is False
        await made.served.json("GET", f"/v1/responses/{response['id']}", status=404)


async def test_several_run_beside_each_other_but_not_too_many_nor_two_of_a_name() -> None:
    async with board(FakeExecutor(hold="queue")) as made, made.connect() as socket:
        for number in range(MOST_RUNNING):
            await begin(socket, f"c{number}")
        await begin(socket, "c0")
        told = await socket.next()
        assert (told["id"], told["event"]["error"]["param"]) == ("c0", "id")
        await begin(socket, "more")
        assert (await socket.next())["event"]["error"]["code"] == "busy"
        await until(lambda: made.executor.running == MOST_RUNNING)
        made.executor.release()
        ended = 0
        while ended < MOST_RUNNING:
            ended += (await socket.event())["type"] == "response.completed"


async def test_a_command_that_was_stopped_gives_its_place_to_the_next(memory: Memory) -> None:
    """It is still being stored then."""
    made_one = await memory.conversations.create("local", [])
    async with board(FakeExecutor(hold="decode"), memory) as made, made.connect() as socket:
        for number in range(MOST_RUNNING):
            await begin(socket, f"c{number}")
        await until(lambda: made.executor.running == MOST_RUNNING)
        for number in range(MOST_RUNNING):
            await socket.send("response.cancel", f"c{number}")
            await socket.send("conversation.replay", f"r{number}", conversation=made_one.id)
        ends = []
        while len(ends) < 2 * MOST_RUNNING:
            event = await socket.event()
            assert event["type"] != "error", event
            ends += [event["type"]] * (event["type"] in ("response.cancelled", "conversation.replayed"))
        assert ends.count("response.cancelled") == MOST_RUNNING


class Ending:
    """A command that was stopped, and ends when it is told to."""

    lasting, stopped = False, True

    def __init__(self) -> None:
        self.end = asyncio.Event()

    async def run(self) -> None:
        await self.end.wait()

    def stop(self) -> None:
        self.end.set()


async def test_what_waits_for_a_place_is_not_begun_when_another_socket_reads() -> None:
    async with board() as made, made.connect() as socket:
        session = made.hub.sessions[socket.session]
        commands = [Ending() for _ in range(MOST_RUNNING)]
        for number, command in enumerate(commands):
            session.start(f"c{number}", command)
        message = b'{"type": "response.create", "id": "late", "response": {"model": "tiny", "input": "Hi"}}'
        late = asyncio.create_task(Dispatcher(made.hub, session).take(message, text=True))
        await asyncio.sleep(0)
        async with made.connect(socket.session, socket.seq):
            commands[0].end.set()
            assert await late is None
            assert session.running == [f"c{number}" for number in range(1, MOST_RUNNING)]


async def test_a_conversation_goes_on_and_is_the_one_of_http(memory: Memory) -> None:
    async with board(memory=memory) as made, made.connect() as socket:
        conversation = (await made.served.json("POST", "/v1/conversations", json={}))["id"]
        await socket.respond("a", input="One", conversation=conversation)
        await socket.respond("b", input="Two", conversation=conversation)
        contents = [one.content for one in made.executor.jobs[-1].messages or ()]
        assert contents == ["One", "Hello, world", "Two"]
        items = await made.served.json("GET", f"/v1/conversations/{conversation}/items?order=asc")
        assert [one["content"][0]["text"] for one in items["data"]] == ["One", "Hello, world", "Two", "Hello, world"]


async def test_conversations_and_responses_of_others_are_not_there(memory: Memory) -> None:
    async with board(memory=memory, key_hashes=hashes("anna", "bert")) as made:
        conversation = (await made.served.json("POST", "/v1/conversations", json={}, headers=key("bert")))["id"]
        async with made.connect(headers=key("bert")) as bert:
            response = (await bert.respond(conversation=conversation))[-1]["response"]["id"]
        async with made.connect(headers=key("anna")) as anna:
            for place in ({"conversation": conversation}, {"previous_response_id": response}):
                (error,) = await anna.respond(**place)
                assert (error["error"]["code"], error["error"]["param"]) == ("not_found", next(iter(place)))
        assert len(made.executor.jobs) == 1


async def test_an_answer_that_is_known_comes_from_ram_unless_the_handshake_says_no() -> None:
    async with board() as made:
        for headers, jobs in (({}, 1), ({}, 1), ({"Cache-Control": "no-cache"}, 2)):
            async with made.connect(handshake=headers) as socket:
                assert text_of(await socket.respond(temperature=0)) == "Hello, world"
            assert len(made.executor.jobs) == jobs


async def test_a_response_counts_as_a_request_of_its_account() -> None:
    known = hashes("anna")
    async with board(key_hashes=known) as made:
        accounts = structs.replace(made.served.parts.settings.accounts, requests_per_minute=3)
        made.served.parts.settings = structs.replace(made.served.parts.settings, accounts=accounts)
        async with made.connect(headers=key("anna")) as socket:  # the ticket was the first
            await socket.respond("a")
            await socket.respond("b")
            (error,) = await socket.respond("c")
            assert error["error"]["code"] == "rate_limit_exceeded"
            made.clock.advance(20.0)
            assert text_of(await socket.respond("d")) == "Hello, world"
