from __future__ import annotations

import json
from typing import Any

import pytest
from fakes.served import Served

from mongarsd.ground.job import Delta, ToolCall
from mongarsd.memory.conversations.types import NewTurn
from mongarsd.memory.room import Memory

PATH = "/v1/conversations"
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "Where is the key?"},
    {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
    {"role": "assistant", "content": "Under the mat."},
    CALL,
    {"type": "function_call_output", "call_id": "call_1", "output": "ok"},
]


async def made(served: Served, **fields: Any) -> str:
    return str((await served.json("POST", PATH, json=fields))["id"])


async def kinds(served: Served, path: str) -> list[str]:
    return [one["type"] for one in (await served.json("GET", path))["data"]]


async def test_a_conversation_is_made_changed_and_deleted(keeping: Served) -> None:
    name = await made(keeping, items=ITEMS, metadata={"a": "b"})
    found = await keeping.json("GET", f"{PATH}/{name}")
    assert (found["object"], found["metadata"], found["title"]) == ("conversation", {"a": "b"}, "Where is the key?")
    changed = await keeping.json("POST", f"{PATH}/{name}", json={"metadata": {"c": "d"}, "title": "Keys"})
    assert (changed["metadata"], changed["title"]) == ({"c": "d"}, "Keys")
    gone = await keeping.json("DELETE", f"{PATH}/{name}")
    assert gone == {"id": name, "object": "conversation.deleted", "deleted": True}
    await keeping.json("GET", f"{PATH}/{name}", 404)
    await keeping.json("GET", f"{PATH}/{name}/items", 404)


async def test_items_come_back_as_they_went_in(keeping: Served) -> None:
    path = f"{PATH}/{await made(keeping, items=ITEMS)}/items"
    want = ["message", "reasoning", "message", "function_call", "function_call_output"]
    assert await kinds(keeping, path + "?order=asc") == want
    assert await kinds(keeping, path) == want[::-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_of_items_may_end_within_a_turn(keeping: Served, order: str) -> None:
    path = f"{PATH}/{await made(keeping, items=ITEMS)}/items?order={order}"
    whole = [one["id"] for one in (await keeping.json("GET", path))["data"]]
    seen, after = [], ""
    for _ in range(3):
        page = await keeping.json("GET", f"{path}&limit=2{after}")
        seen += [one["id"] for one in page["data"]]
        after = f"&after={page['last_id']}"
    assert seen == whole
    assert not page["has_more"]


async def test_items_are_added_found_and_deleted_one_by_one(keeping: Served, memory: Memory) -> None:
    name = await made(keeping)
    path = f"{PATH}/{name}/items"
    added = (await keeping.json("POST", path, json={"items": ITEMS[1:4]}))["data"]
    for item in added:
        assert await keeping.json("GET", f"{path}/{item['id']}") == item
    left = await keeping.json("DELETE", f"{path}/{added[1]['id']}")
    assert left["turns"] == 1
    assert await kinds(keeping, path + "?order=asc") == ["reasoning", "function_call"]
    await keeping.json("DELETE", f"{path}/{added[0]['id']}")
    assert await kinds(keeping, path) == ["function_call"]
    call = (await keeping.json("GET", path))["data"][0]["id"]
    assert (await keeping.json("DELETE", f"{path}/{call}"))["turns"] == 0
    await keeping.json("GET", f"{path}/{call}", 404)
    await keeping.json("GET", f"{path}/nonsense", 404)


async def test_a_chat_that_is_stored_is_such_a_conversation(keeping: Served) -> None:
    call = ToolCall(index=0, id="call_1", name="f", arguments="{}")
    keeping.executor.deltas = ["Wait.", Delta(job="", tokens=(1,), calls=(call,))]
    await keeping.chat(store=True)
    (conversation,) = (await keeping.json("GET", PATH))["data"]
    path = f"{PATH}/{conversation['id']}/items?order=asc"
    assert await kinds(keeping, path) == ["message", "message", "function_call"]
    await keeping.json("POST", "/v1/responses", json={"input": "and?", "conversation": conversation["id"]})
    told = keeping.executor.jobs[1].messages or ()
    assert [one.role for one in told] == ["user", "assistant", "user"]
    assert told[1].tool_calls[0]["function"] == {"name": "f", "arguments": {}}


async def test_the_list_pages_and_searches(keeping: Served) -> None:
    names = [await made(keeping, items=[{"role": "user", "content": f"The café number {n}"}]) for n in range(3)]
    first = await keeping.json("GET", PATH + "?limit=2")
    rest = await keeping.json("GET", f"{PATH}?limit=2&after={first['after']}")
    assert [one["id"] for one in first["data"] + rest["data"]] == names[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    (found,) = (await keeping.json("GET", PATH + "?q=cafe+1"))["data"]
    assert found["id"] == names[1]
    assert "[café]" in found["hits"][0]["snippet"]
    await keeping.json("GET", PATH + "?after=x", 400)
    await keeping.json("GET", PATH + "?q=" + "x" * 4001, 400)


async def test_one_and_all_are_exported(keeping: Served) -> None:
    name = await made(keeping, items=ITEMS)
    await made(keeping, title="Another")
    for path, many in ((f"{PATH}/{name}/export", 1), (f"{PATH}/export", 2)):
        async with keeping.client.get(keeping.url + path) as response:
            lines = (await response.text()).splitlines()
        assert len(lines) == many
        assert json.loads(lines[-1])["conversation"]["id"] == name
        async with keeping.client.get(f"{keeping.url}{path}?format=markdown") as response:
            assert "Under the mat." in await response.text()
        await keeping.json("GET", path + "?format=pdf", 400)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", ""),
        ("DELETE", ""),
        ("GET", "/export"),
        ("GET", "/items"),
        ("POST", "/items"),
        ("GET", "/items/{item}"),
        ("DELETE", "/items/{item}"),
    ],
)
async def test_nobody_sees_anothers(keeping: Served, memory: Memory, method: str, path: str) -> None:
    theirs = await memory.conversations.create("other", [NewTurn(role="user", content="hush")])
    (turn,) = (await memory.conversations.turns("other", theirs.id)).items
    body = {"json": {"items": [{"role": "user", "content": "x"}]}} if method == "POST" else {}
    await keeping.json(method, f"{PATH}/{theirs.id}{path.format(item=turn.id)}", 404, **body)
    assert not (await keeping.json("GET", PATH))["data"]
    assert not (await keeping.json("GET", PATH + "?q=hush"))["data"]
    mine = await made(keeping)
    await keeping.json("GET", f"{PATH}/{mine}/items/{turn.id}", 404)
    await keeping.json("GET", f"{PATH}/{mine}/items?after={turn.id}", 404)
    assert (await memory.conversations.get("other", theirs.id)).turns == 1
