"""An account's limits hold for the Ollama API, and are told in its words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fakes.executor import FakeExecutor
from fakes.served import Served, fake_parts, serve

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.metrics import Metrics
from mongarsd.memory.access.types import Scope
from mongarsd.memory.room import Memory

HI = [{"role": "user", "content": "Hi"}]
ASK: list[tuple[str, dict[str, Any]]] = [
    ("/api/chat", {"messages": HI}),
    ("/api/chat", {"messages": HI, "stream": False}),
    ("/api/generate", {"prompt": "Hi"}),
    ("/api/generate", {"prompt": "Hi", "stream": False}),
]


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[Memory]:
    room = Memory(tmp_path, FakeClock())
    await room.start()
    yield room
    await room.close()


async def key(memory: Memory, account: str) -> dict[str, str]:
    made = await memory.access.create_key("k", account=account, scopes=(Scope.CHAT,), lasts=None)
    return {"Authorization": f"Bearer {made.text}"}


async def refused(served: Served, path: str, headers: dict[str, str], body: dict[str, Any]) -> str:
    """What a 429 says."""
    async with served.client.post(served.url + path, json={"model": "tiny", **body}, headers=headers) as response:
        text = await response.text()
        assert (response.status, response.content_type) == (429, "application/json"), text
        assert int(response.headers["Retry-After"]) >= 1
    answer = json.loads(text)
    assert answer["code"] == "rate_limit_exceeded"
    assert isinstance(answer["error"], str)
    return str(answer["error"])


@pytest.mark.parametrize(("path", "body"), ASK)
async def test_jobs_at_the_same_time(memory: Memory, path: str, body: dict[str, Any]) -> None:
    executor = FakeExecutor(hold="decode")
    async with serve(parts=fake_parts(executor, memory)) as served:
        mine, other = await key(memory, "mine"), await key(memory, "other")
        await memory.accounts.change("mine", jobs=1)
        ask = {"model": "tiny", "messages": HI}
        async with served.client.post(served.url + "/api/chat", json=ask, headers=mine) as first:
            await first.content.readline()
            assert "1 jobs" in await refused(served, path, mine, body)
            assert executor.running == 1, "nothing was handed over"
            executor.release()
            others = {"model": "tiny", **body}
            async with served.client.post(served.url + path, json=others, headers=other) as second:
                assert second.status == 200
            await first.read()
        async with served.client.post(served.url + path, json={"model": "tiny", **body}, headers=mine) as again:
            assert again.status == 200


@pytest.mark.parametrize(("path", "body"), ASK)
async def test_tokens_and_requests_a_minute(memory: Memory, path: str, body: dict[str, Any]) -> None:
    parts = dataclasses.replace(fake_parts(memory=memory), clock=FakeClock(), metrics=Metrics())
    async with serve(parts=parts) as served:
        headers = await key(memory, "mine")
        await memory.accounts.change("mine", tokens_per_minute=10)
        await served.json("POST", "/api/show", json={"model": "tiny"}, headers=headers)
        ask = {"model": "tiny", **body}
        async with served.client.post(served.url + path, json=ask, headers=headers) as response:
            assert response.status == 200
            assert response.headers["X-RateLimit-Limit-Tokens"] == "10"
            await response.read()
        assert "10 tokens a minute" in await refused(served, path, headers, body)
        await memory.accounts.change("mine", tokens_per_minute=0, requests_per_minute=1)
        async with served.client.post(served.url + path, json=ask, headers=headers) as response:
            assert response.status == 200
            await response.read()
        assert "1 requests a minute" in await refused(served, path, headers, body)
        await served.json("GET", "/api/tags", headers=headers)
        await served.json("GET", "/api/ps", headers=headers)
