"""Whatever is posted: a status below 500, and an error object if it is not 200."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
from fakes.mutation import JSON, mutated
from fakes.served import serve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

VALID: list[dict[str, Any]] = [
    {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
        ],
        "temperature": 0.5,
        "top_k": 3,
        "stop": ["a"],
        "n": 2,
        "logprobs": True,
        "top_logprobs": 1,
        "logit_bias": {"1": 2},
        "stream_options": {"include_usage": True},
        "chat_template_kwargs": {"a": {"b": 1}},
        "samplers": ["top_k"],
    },
    {"prompt": ["a", "b"], "logprobs": 1, "seed": 1, "max_tokens": 5, "stop": "x", "stream": True},
    {"prompt": [[1, 2], [3]], "dry_sequence_breakers": ["\n"]},
]
ALMOST = st.sampled_from(VALID).flatmap(mutated)


async def check(bodies: list[bytes]) -> None:
    async with serve() as served, aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as client:
        for body in bodies:
            for path in ("/v1/chat/completions", "/v1/completions"):
                async with client.post(served.url + path, data=body) as response:
                    answer = await response.read()
                    assert response.status < 500, answer
                    if response.status != 200:
                        error = json.loads(answer)["error"]
                        assert set(error) >= {"message", "type", "param", "code"}
                        assert isinstance(error["message"], str)
                        assert error["message"]
                        assert "Traceback" not in error["message"]


FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@given(st.lists(ALMOST, min_size=8, max_size=8))
@FEW
async def test_almost_valid_bodies(bodies: list[Any]) -> None:
    await check([json.dumps(body).encode("utf-8", "surrogatepass") for body in bodies])


@given(st.lists(JSON, min_size=8, max_size=8))
@FEW
async def test_any_json(bodies: list[Any]) -> None:
    await check([json.dumps(body).encode("utf-8", "surrogatepass") for body in bodies])


@given(st.lists(st.binary(max_size=60), min_size=8, max_size=8))
@FEW
async def test_any_bytes(bodies: list[bytes]) -> None:
    await check(bodies)
