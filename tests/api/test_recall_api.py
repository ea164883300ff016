from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fakes.letters import Letters
from fakes.served import Served, fake_parts, serve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongarsd.ground.clock import SystemClock
from mongarsd.memory.recall.types import MAX_TEXT
from mongarsd.memory.room import Memory

KEYS = {name: f"key-of-{name}" for name in ("anna", "ben")}
CAT = "My cat is called Mia"
QUESTION = {"role": "user", "content": "What is my cat called?"}


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[Memory]:
    letters = Letters()
    room = Memory(tmp_path, SystemClock(), embed=letters, model=letters.model)
    await room.start()
    yield room
    await room.close()


@pytest.fixture
async def served(memory: Memory) -> AsyncIterator[Served]:
    async with serve(parts=fake_parts(memory=memory)) as running:
        yield running


@pytest.fixture
async def two_people(memory: Memory) -> AsyncIterator[Served]:
    hashes = tuple(f"sha256:{hashlib.sha256(key.encode()).hexdigest()}" for key in KEYS.values())
    async with serve(parts=fake_parts(memory=memory, key_hashes=hashes)) as running:
        yield running


def by(name: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {KEYS[name]}"}}


async def add(served: Served, text: str, **request: Any) -> Any:
    return await served.json("POST", "/v1/memory", json={"text": text}, **request)


async def test_a_fact_is_added_found_changed_and_deleted(served: Served) -> None:
    told = await add(served, CAT)
    assert told | {"id": "", "created_at": 0, "updated_at": 0} == {
        "object": "memory", "id": "", "text": CAT, "source": "fact", "created_at": 0, "updated_at": 0,
        "conversation": None, "embedded": False,
    }  # fmt: skip
    found = await served.json("GET", "/v1/memory/search?q=cat&k=3")
    assert [one["memory"]["id"] for one in found["data"]] == [told["id"]]
    assert (found["mode"], bool(found["why"]), found["data"][0]["words"]) == ("words", True, 1.0)
    changed = await served.json("PATCH", f"/v1/memory/{told['id']}", json={"text": "My cat is called Tom"})
    assert await served.json("GET", f"/v1/memory/{told['id']}") == changed
    assert (await served.json("GET", "/v1/memory"))["data"] == [changed]
    gone = await served.json("DELETE", f"/v1/memory/{told['id']}")
    assert gone == {"object": "memory.deleted", "id": told["id"], "deleted": True}
    assert (await served.json("GET", "/v1/memory"))["data"] == []
    await served.json("DELETE", f"/v1/memory/{told['id']}", 404)


async def test_pages(served: Served) -> None:
    names = [(await add(served, f"fact {number}"))["id"] for number in range(5)]
    seen, after = [], ""
    for _ in range(3):
        page = await served.json("GET", f"/v1/memory?limit=2{after}")
        seen += [one["id"] for one in page["data"]]
        after = f"&after={page['after']}"
    assert seen == names[::-1]
    assert (page["has_more"], page["after"]) == (False, None)


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("POST", "/v1/memory", {}, "text"),
        ("POST", "/v1/memory", {"text": ""}, "text"),
        ("POST", "/v1/memory", {"text": " \n "}, "text"),
        ("POST", "/v1/memory", {"text": "x" * (MAX_TEXT + 1)}, "text"),
        ("POST", "/v1/memory", {"text": 5}, "text"),
        ("PATCH", "/v1/memory/mem_1", {"text": None}, "text"),
        ("GET", "/v1/memory/search", None, "q"),
        ("GET", "/v1/memory/search?q=%20", None, "q"),
        ("GET", f"/v1/memory/search?q={'x' * 4001}", None, "q"),
        ("GET", "/v1/memory/search?q=a&k=0", None, "k"),
        ("GET", "/v1/memory/search?q=a&k=-1", None, "k"),
        ("GET", "/v1/memory/search?q=a&k=²", None, "k"),
        ("GET", "/v1/memory?limit=101", None, "limit"),
        ("GET", "/v1/memory?limit=1e9", None, "limit"),
    ],
)
async def test_bad_input_names_the_field(served: Served, method: str, path: str, body: Any, param: str) -> None:
    answer = await served.json(method, path, 400, json=body)
    assert answer["error"]["param"] == param


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/memory/mem_no"), ("DELETE", "/v1/memory/%00"), ("GET", "/v1/memory?after=mem_no")],
)
async def test_what_is_not_there_is_404(served: Served, method: str, path: str) -> None:
    await served.json(method, path, 404)


async def test_a_conversation_must_be_ones_own(served: Served, memory: Memory) -> None:
    other = await memory.conversations.create("other")
    for name, status in ((other.id, 404), ("conv_no", 404)):
        body = {"text": CAT, "conversation": name}
        await served.json("POST", "/v1/memory", status, json=body)
    mine = await memory.conversations.create("local")
    body = {"text": CAT, "conversation": mine.id}
    assert (await served.json("POST", "/v1/memory", json=body))["conversation"] == mine.id


async def test_a_chat_is_given_memories_only_when_it_asks(served: Served, memory: Memory) -> None:
    told = await add(served, CAT)
    assert "memory" not in await served.chat(messages=[QUESTION])
    assert served.executor.jobs[-1].messages[0].content == QUESTION["content"]  # type: ignore[index]
    answer = await served.chat(messages=[QUESTION], memory={"recall": True})
    (recalled,) = answer["memory"]["recalled"]
    assert (recalled["id"], recalled["text"], recalled["words"]) == (told["id"], CAT, 1.0)
    assert 0 < recalled["score"] <= 1
    assert CAT in served.executor.jobs[-1].messages[0].content  # type: ignore[index]
    await memory.accounts.change("local", recall=True)
    assert (await served.chat(messages=[QUESTION]))["memory"]["recalled"]
    assert "memory" not in await served.chat(messages=[QUESTION], memory={"recall": False})


async def test_a_stream_says_it_in_its_last_chunk(served: Served) -> None:
    told = await add(served, CAT)
    body = {"model": "tiny", "messages": [QUESTION], "stream": True, "memory": {"recall": True}}
    async with served.client.post(served.url + "/v1/chat/completions", json=body) as response:
        lines = [line.removeprefix("data: ") for line in (await response.text()).split("\n\n") if line]
    chunks = [json.loads(line) for line in lines[:-1]]
    with_memory = [chunk for chunk in chunks if "memory" in chunk]
    assert with_memory == [chunk for chunk in chunks if chunk["choices"][0]["finish_reason"]]
    assert with_memory[0]["memory"]["recalled"][0]["id"] == told["id"]


async def test_remember_and_forget_in_a_chat(served: Served, memory: Memory) -> None:
    order = {"role": "user", "content": "Remember that my cat is called Mia"}
    assert "memory" not in await served.chat(messages=[order])
    await memory.accounts.change("local", remember=True)
    (told,) = (await served.chat(messages=[order]))["memory"]["remembered"]
    assert told["text"] == "my cat is called Mia"
    forget = {"role": "user", "content": "Forget about my cat"}
    assert (await served.chat(messages=[forget]))["memory"]["forgotten"] == [told]
    assert (await served.json("GET", "/v1/memory"))["data"] == []


@pytest.mark.parametrize(
    "options", [{"k": 0}, {"k": 51}, {"max_tokens": 1}, {"recall": "yes"}, {"k": 10**30}, {"max_tokens": -5}]
)
async def test_bad_options_name_the_field(served: Served, options: dict[str, Any]) -> None:
    answer = await served.chat(400, messages=[QUESTION], memory=options)
    assert answer["error"]["param"] == f"memory.{next(iter(options))}"


async def test_a_database_in_trouble_costs_the_memories_and_not_the_answer(served: Served, memory: Memory) -> None:
    await memory.close()
    assert "memory" not in await served.chat(messages=[QUESTION])
    answer = await served.chat(messages=[QUESTION], memory={"recall": True})
    assert answer["memory"]["trouble"]
    assert answer["choices"][0]["message"]["content"] == "Hello, world"
    await served.json("GET", "/v1/memory", 503)


Act = tuple[str, str, int]
acts = st.lists(
    st.tuples(
        st.sampled_from(["get", "delete", "change", "after", "search", "list", "chat", "forget"]),
        st.sampled_from(list(KEYS)),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=15,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts)
async def test_nobody_reads_or_changes_anothers_memories(two_people: Served, history: list[Act]) -> None:
    served = two_people
    secrets = {name: [f"secret {number} cat of {name}" for number in range(3)] for name in KEYS}
    names = {name: [(await add(served, text, **by(name)))["id"] for text in texts] for name, texts in secrets.items()}
    for verb, who, number in history:
        other = "ben" if who == "anna" else "anna"
        target, secret = names[other][number % 3], f"cat of {other}"
        path = f"/v1/memory/{target}"
        if verb == "get":
            said = await served.json("GET", path, 404, **by(who))
        elif verb == "delete":
            said = await served.json("DELETE", path, 404, **by(who))
        elif verb == "change":
            said = await served.json("PATCH", path, 404, json={"text": "mine"}, **by(who))
        elif verb == "after":
            said = await served.json("GET", f"/v1/memory?after={target}", 404, **by(who))
        elif verb == "search":
            said = await served.json("GET", "/v1/memory/search?q=secret+cat&k=100", **by(who))
        elif verb == "list":
            said = await served.json("GET", "/v1/memory?limit=100", **by(who))
        else:
            content = "Forget about the secret cat" if verb == "forget" else "What is the secret of the cat?"
            said = await chat(served, who, content, {"recall": True, "remember": True})
            prompt = served.executor.jobs[-1].messages[0].content  # type: ignore[index]
            assert secret not in prompt
        assert secret not in json.dumps(said)
    for name in KEYS:
        for memory in (await served.json("GET", "/v1/memory?limit=100", **by(name)))["data"]:
            await served.json("DELETE", f"/v1/memory/{memory['id']}", **by(name))


async def chat(served: Served, who: str, content: str, options: dict[str, Any]) -> Any:
    body = {"model": "tiny", "messages": [{"role": "user", "content": content}], "memory": options}
    return await served.json("POST", "/v1/chat/completions", json=body, **by(who))
