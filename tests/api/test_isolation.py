"""No account reaches anything of another: every route that takes an id, with every mix of ids of two accounts.

The routes come from the app's own table, so a new one is tried too, or this test says what it lacks.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fakes.served import Served, fake_parts, serve

from mongarsd.api.app import PUBLIC
from mongarsd.api.openapi import Route
from mongarsd.ground.clock import SystemClock
from mongarsd.memory.room import Memory

#: What belongs to the node, not to an account.
SHARED = {"/v1/models/{id:.+}", "/api/blobs/{digest}"}
#: Where an account's things are.
KEPT = ("/v1/chat", "/v1/memory", "/v1/files", "/v1/vector_stores", "/v1/conversations", "/v1/responses")
PARAMETER = re.compile(r"\{(\w+)(?::[^{}]+)?\}")
ROUTES = [route for route in PUBLIC if "{" in route.path and route.path not in SHARED]
MINE, THEIRS = "mine", "theirs"
ITEM = {"type": "message", "role": "user", "content": "changed"}
#: Valid requests of the routes that want a body; FILE is replaced by a file of the account that asks.
FILE = "FILE"
BODIES: dict[str, Any] = {
    "/v1/chat/completions/{completion}": {"metadata": {"a": "changed"}},
    "/v1/memory/{id}": {"text": "changed"},
    "/v1/vector_stores/{store}": {"name": "changed"},
    "/v1/vector_stores/{store}/search": {"query": "secret"},
    "/v1/vector_stores/{store}/files": {"file_id": FILE},
    "/v1/vector_stores/{store}/files/{file}": {"attributes": {"a": "changed"}},
    "/v1/vector_stores/{store}/file_batches": {"file_ids": [FILE]},
    "/v1/conversations/{conversation}": {"metadata": {"a": "changed"}},
    "/v1/conversations/{conversation}/items": {"items": [ITEM]},
}

Ids = dict[str, str]


def key(account: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {account}"}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    memory = Memory(tmp_path, SystemClock())
    await memory.start()
    hashes = tuple(f"sha256:{hashlib.sha256(name.encode()).hexdigest()}" for name in (MINE, THEIRS))
    try:
        async with serve(parts=fake_parts(memory=memory, key_hashes=hashes)) as running:
            yield running
    finally:
        await memory.close()


async def furnish(served: Served, account: str) -> Ids:
    """One of everything, by the name of the parameter that means it."""

    async def make(path: str, body: Any) -> Any:
        return await served.json("POST", path, json=body, headers=key(account))

    form = b'--X\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n--X\r\n'
    form += b'Content-Disposition: form-data; name="file"; filename="a.md"\r\n\r\nthe secret\r\n--X--\r\n'
    headers = {**key(account), "Content-Type": "multipart/form-data; boundary=X"}
    file = (await served.json("POST", "/v1/files", data=form, headers=headers))["id"]
    store = (await make("/v1/vector_stores", {"name": "shelf"}))["id"]
    batch = (await make(f"/v1/vector_stores/{store}/file_batches", {"file_ids": [file]}))["id"]
    conversation = (await make("/v1/conversations", {"items": [{**ITEM, "content": "the secret"}]}))["id"]
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "the secret"}], "store": True}
    items = await served.json("GET", f"/v1/conversations/{conversation}/items", headers=key(account))
    return {
        "id": (await make("/v1/memory", {"text": "the secret"}))["id"],
        "completion": (await make("/v1/chat/completions", chat))["id"],
        "file": file,
        "store": store,
        "batch": batch,
        "conversation": conversation,
        "item": items["data"][0]["id"],
        "response": (await make("/v1/responses", {"model": "tiny", "input": "the secret"}))["id"],
    }


def path_of(route: Route, ids: dict[str, str]) -> str:
    return PARAMETER.sub(lambda found: ids[found[1]], route.path)


def with_file(body: Any, file: str) -> Any:
    if isinstance(body, dict):
        return {name: with_file(value, file) for name, value in body.items()}
    return [with_file(value, file) for value in body] if isinstance(body, list) else file if body == FILE else body


async def seen(served: Served, account: str, ids: Ids) -> dict[str, tuple[int, bytes]]:
    """All that the account can read of its own."""
    found = {}
    for route in PUBLIC:
        if route.method != "GET" or not route.path.startswith(KEPT) or route.path.endswith("/search"):
            continue
        async with served.client.get(served.url + path_of(route, ids), headers=key(account)) as response:
            found[route.path] = response.status, await response.read()
    return found


async def test_ids_of_others_are_as_if_they_did_not_exist(served: Served) -> None:
    mine, theirs = await furnish(served, MINE), await furnish(served, THEIRS)
    before = await seen(served, THEIRS, theirs)
    assert all(status == 200 for status, _ in before.values()), {p: s for p, (s, _) in before.items() if s != 200}
    tried = 0
    for route in ROUTES:
        names = PARAMETER.findall(route.path)
        for choice in itertools.product((mine, theirs), repeat=len(names)):
            if all(ids is mine for ids in choice):
                continue
            path = path_of(route, {name: ids[name] for name, ids in zip(names, choice, strict=True)})
            body = with_file(BODIES.get(route.path), mine["file"]) if route.method in ("POST", "PATCH") else None
            async with served.client.request(
                route.method, served.url + path, json=body or {}, headers=key(MINE)
            ) as response:
                text = await response.text()
                assert response.status == 404, f"{route.method} {route.path} {path}: {response.status} {text}"
                assert "secret" not in text
            tried += 1
    assert tried > len(ROUTES)
    assert await seen(served, THEIRS, theirs) == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"model": "tiny", "input": "x", "previous_response_id": "response"}),
        ("/v1/responses", {"model": "tiny", "input": "x", "conversation": "conversation"}),
        ("/v1/vector_stores", {"file_ids": ["file"]}),
        ("/v1/vector_stores/STORE/files", {"file_id": "file"}),
        ("/v1/vector_stores/STORE/file_batches", {"file_ids": ["file"]}),
        ("/v1/responses", {
            "model": "tiny", "input": "x", "tools": [{"type": "file_search", "vector_store_ids": ["store"]}],
        }),
        ("/v1/memory", {"text": "x", "conversation": "conversation"}),
    ],
)  # fmt: skip
async def test_ids_of_others_inside_of_a_body_too(served: Served, path: str, body: dict[str, Any]) -> None:
    mine, theirs = await furnish(served, MINE), await furnish(served, THEIRS)
    before = await seen(served, THEIRS, theirs)

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: part if name in ("type", "model") else filled(part) for name, part in value.items()}
        return [filled(part) for part in value] if isinstance(value, list) else theirs.get(value, value)

    where = served.url + path.replace("STORE", mine["store"])
    jobs = len(served.executor.jobs)
    async with served.client.post(where, json=filled(body), headers=key(MINE)) as response:
        text = await response.text()
        assert response.status == 404, text
        assert "secret" not in text
    assert len(served.executor.jobs) == jobs
    assert await seen(served, THEIRS, theirs) == before


async def test_a_chat_cannot_go_on_in_the_conversation_of_another(served: Served) -> None:
    theirs = await furnish(served, THEIRS)
    before = await seen(served, THEIRS, theirs)
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "store": True}
    headers = {**key(MINE), "X-Conversation-Id": theirs["conversation"]}
    await served.json("POST", "/v1/chat/completions", 404, json=body, headers=headers)
    assert await seen(served, THEIRS, theirs) == before


async def test_no_account_is_given_the_answer_of_another(served: Served) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "temperature": 0}
    said = []
    for account in (MINE, THEIRS, MINE):
        async with served.client.post(served.url + "/v1/chat/completions", json=body, headers=key(account)) as response:
            said.append(response.headers["X-Cache"])
    assert said == ["miss", "miss", "hit"]
