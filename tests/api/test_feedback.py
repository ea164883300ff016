from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fakes.served import Served, fake_parts, serve

from mongarsd.ground.clock import SystemClock
from mongarsd.memory.room import Memory

MINE, THEIRS = ({"Authorization": f"Bearer {name}"} for name in ("mine", "theirs"))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    memory = Memory(tmp_path, SystemClock())
    await memory.start()
    hashes = tuple(f"sha256:{hashlib.sha256(name).hexdigest()}" for name in (b"mine", b"theirs"))
    try:
        async with serve(parts=fake_parts(memory=memory, key_hashes=hashes)) as running:
            yield running
    finally:
        await memory.close()


async def respond(served: Served) -> Any:
    return await served.json("POST", "/v1/responses", json={"model": "tiny", "input": "Hi"}, headers=MINE)


async def rate(served: Served, status: int = 200, headers: Any = MINE, **body: Any) -> Any:
    return await served.json("POST", "/v1/feedback", status, json=body, headers=headers)


async def conversation(served: Served, name: str) -> Any:
    return await served.json("GET", f"/v1/conversations/{name}", headers=MINE)


async def test_it_is_kept_with_the_answer_until_it_is_taken_back(served: Served) -> None:
    response = await respond(served)
    message = response["output"][0]["id"]
    given = await rate(served, id=response["id"], rating="down", correction="Hello, you")
    name = given["conversation"]
    assert given == {
        "object": "feedback",
        "id": message,
        "conversation": name,
        "rating": "down",
        "correction": "Hello, you",
    }
    before = (await conversation(served, name))["bytes"]
    items = (await served.json("GET", f"/v1/conversations/{name}/items?order=asc", headers=MINE))["data"]
    assert "feedback" not in items[0]
    assert items[1]["feedback"] == {"rating": "down", "correction": "Hello, you"}
    again = await rate(served, id=message, rating="up")
    assert (again["rating"], again["correction"]) == ("up", "")
    assert (await conversation(served, name))["bytes"] == before - len("Hello, you")
    await rate(served, id=message, rating="none")
    seen = await served.json("GET", f"/v1/responses/{response['id']}", headers=MINE)
    assert "feedback" not in seen["output"][0]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stored_chat_is_rated_by_the_id_of_its_answer(served: Served, stream: bool) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    url = served.url + "/v1/chat/completions"
    async with served.client.post(url, json={**body, "store": True}, headers=MINE) as response:
        text = await response.text()
        name = response.headers["X-Conversation-Id"]
    told = json.loads(text.removeprefix("data: ").partition("\n")[0])["id"]
    assert told.startswith("chatcmpl-")
    given = await rate(served, id=told, rating="up")
    (_, answer) = (await served.json("GET", f"/v1/conversations/{name}/items?order=asc", headers=MINE))["data"]
    assert (given["id"], answer["feedback"]["rating"]) == (answer["id"], "up")
    await rate(served, 404, THEIRS, id=told, rating="down")
    async with served.client.post(url, json={**body, "stream": False}, headers=MINE) as response:
        unstored = (await response.json())["id"]
    refused = await rate(served, 404, id=unstored, rating="up")
    assert "store: true" in refused["error"]["message"]


async def test_it_is_in_the_export(served: Served) -> None:
    name = (await rate(served, id=(await respond(served))["id"], rating="down", correction="Hey\nyou"))["conversation"]
    url = f"{served.url}/v1/conversations/{name}/export"
    async with served.client.get(url, headers=MINE) as response:
        turns = json.loads(await response.text())["turns"]
    assert [(turn["feedback"], turn["comment"]) for turn in turns] == [(0, ""), (-1, "Hey\nyou")]
    async with served.client.get(url + "?format=markdown", headers=MINE) as response:
        text = await response.text()
    assert "👎" in text
    assert "> Hey\n> you\n" in text


async def test_what_is_refused(served: Served) -> None:
    response = await respond(served)
    (question,) = (await served.json("GET", f"/v1/responses/{response['id']}/input_items", headers=MINE))["data"]
    assert (await rate(served, 400, id=question["id"], rating="up"))["error"]["param"] == "id"
    assert (await rate(served, 400, id=response["id"], rating="great"))["error"]["param"] == "rating"
    assert (await rate(served, 400, id=response["id"], rating="none", correction="x"))["error"]["param"] == "correction"
    assert (await rate(served, 400, id=response["id"], rating="up", correction="x" * 40_000))["error"]["param"]
    for unknown in ("resp_" + "0" * 48, "msg_" + "0" * 48, "nonsense"):
        await rate(served, 404, id=unknown, rating="up")


async def test_only_ones_own(served: Served) -> None:
    response = await respond(served)
    for name in (response["id"], response["output"][0]["id"]):
        await rate(served, 404, THEIRS, id=name, rating="down", correction="mine now")
    seen = await served.json("GET", f"/v1/responses/{response['id']}", headers=MINE)
    assert "feedback" not in seen["output"][0]
