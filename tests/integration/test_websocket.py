"""Chats over /v1/ws with the real model: word for word what HTTP says, also across cuts."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import aiohttp
from fakes.daemon_process import MODEL
from fakes.sockets import connect, text_of

ASK: dict[str, Any] = {
    "model": MODEL,
    "input": "Tell me a story of a fox.",
    "temperature": 0,
    "max_output_tokens": 64,
    "ignore_eos": True,
    "cache_prompt": False,  # each run computes the prompt alike: other cells may round otherwise
}


async def over_http(client: aiohttp.ClientSession, url: str, **fields: Any) -> str:
    async with client.post(url + "/v1/responses", json=ASK | fields) as response:
        assert response.status == 200, await response.text()
        text: str = (await response.json())["output"][0]["content"][0]["text"]
        return text


async def test_a_chat_says_what_http_says(url: str) -> None:
    async with aiohttp.ClientSession() as client:
        conversation = (await (await client.post(url + "/v1/conversations", json={})).json())["id"]
        first = await over_http(client, url)
        async with connect(client, url) as socket:
            events = await socket.respond("one", **ASK, conversation=conversation)
            assert text_of(events) == first
            assert events[-1]["response"]["output"][0]["content"][0]["text"] == first
            second = text_of(await socket.respond("two", **ASK | {"input": "And then?"}, conversation=conversation))
            await socket.send("conversation.replay", "r", conversation=conversation)
            items = [(await socket.event())["item"]["content"][0]["text"] for _ in range(4)]
        assert items == [ASK["input"], first, "And then?", second]


async def test_a_chat_that_is_cut_again_and_again_loses_no_word(url: str) -> None:
    chance = random.Random(1)
    wanted = 160
    async with aiohttp.ClientSession() as client:
        whole = await over_http(client, url, max_output_tokens=wanted)
        place: dict[str, Any] = {}
        events: list[dict[str, Any]] = []
        cuts = 0
        while not events or events[-1]["type"] not in ("response.completed", "response.incomplete"):
            async with connect(client, url, **place) as socket:
                assert socket.resumed == bool(place)
                if not place:
                    await socket.send("response.create", "c", response=ASK | {"max_output_tokens": wanted})
                for _ in range(chance.randint(1, 40)):
                    events.append(await socket.event())
                    if events[-1]["type"] in ("response.completed", "response.incomplete"):
                        break
                place = {"session": socket.session, "after": socket.seq}
            cuts += 1
    assert cuts > 2
    assert text_of(events) == whole
    assert [one["sequence_number"] for one in events] == list(range(len(events)))


async def test_cancelling_frees_the_slot(url: str) -> None:
    async with aiohttp.ClientSession() as client, connect(client, url) as socket:
        for name in map(str, range(24)):  # three times the slots there are
            await socket.send("response.create", name, response=ASK | {"max_output_tokens": 900})
            while (await socket.event())["type"] != "response.output_text.delta":
                pass
            await socket.send("response.cancel", name)
            assert (await socket.rest(name))[-1]["type"] == "response.cancelled"
        async with asyncio.timeout(60):
            assert (await socket.respond("last", **ASK))[-1]["type"] == "response.incomplete"
