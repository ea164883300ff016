"""Whatever is posted: a status below 500, and an error object if it is not 200."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
from fakes.mutation import mutated
from fakes.served import fake_parts, serve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongarsd.ground.clock import FakeClock
from mongarsd.memory.room import Memory

RESPONSE: dict[str, Any] = {
    "model": "tiny",
    "input": [
        {"role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "x"}]},
        {"role": "user", "content": "Hi"},
    ],
    "instructions": "x",
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    "reasoning": {"effort": "low"},
    "metadata": {"a": "b"},
    "include": ["message.output_text.logprobs"],
    "truncation": "auto",
}
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/responses", RESPONSE),
    ("/v1/responses", {**RESPONSE, "text": None, "stream": True}),
    ("/v1/responses/input_tokens", RESPONSE),
    (
        "/v1/responses",
        {"input": "x", "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"], "filters": {"type": "eq"}}]},
    ),
    ("/v1/conversations", {"items": RESPONSE["input"], "metadata": {"a": "b"}, "title": "x"}),
]
ALMOST = st.sampled_from(BODIES).flatmap(lambda one: st.tuples(st.just(one[0]), mutated(one[1])))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(bodies=st.lists(ALMOST, min_size=1, max_size=20))
async def test_any_body_gets_a_proper_answer(tmp_path: Path, bodies: list[tuple[str, Any]]) -> None:
    room = Memory(tmp_path, FakeClock())
    await room.start()
    try:
        async with serve(parts=fake_parts(memory=room)) as served:
            for path, body in bodies:
                await check(served.client, served.url + path, json.dumps(body).encode())
    finally:
        await room.close()


async def check(client: aiohttp.ClientSession, url: str, body: bytes) -> None:
    async with client.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
        answer = await response.read()
        assert response.status < 500, (body, answer)
        if response.status != 200:
            assert set(json.loads(answer)["error"]) >= {"message", "type", "param", "code"}
