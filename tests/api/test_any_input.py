"""Whatever is posted: a status below 500, and an error object if it is not 200."""

from __future__ import annotations

import copy
import json
from typing import Any

import aiohttp
from fakes.served import serve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**62, max_value=2**80)
    | st.floats()
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
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


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A valid body with one value, at any depth, replaced, removed, or added."""
    body = copy.deepcopy(draw(st.sampled_from(VALID)))
    place: Any = body
    for _ in range(4):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], (dict, list)) and draw(st.booleans()):
            place = place[key]
            continue
        if draw(st.booleans()):
            place[key] = draw(JSON)
        else:
            del place[key]
        break
    return body


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


@given(st.lists(mutated(), min_size=8, max_size=8))
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
