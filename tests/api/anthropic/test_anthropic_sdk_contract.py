"""The real anthropic library, against the fake executor."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import anthropic
import pytest
from fakes.executor import FakeExecutor
from fakes.served import Served, serve

from mongarsd.ground import errors
from mongarsd.ground.errors import ErrorInfo
from mongarsd.ground.job import Delta, FinishReason, ToolCall, ToolChoice

T = TypeVar("T")
TURN: list[Any] = [{"role": "user", "content": "Hi"}]
ASK: dict[str, Any] = {"model": "tiny", "max_tokens": 9, "messages": TURN}
WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
SAMPLING = {"temperature": 0, "top_k": 3, "top_p": 0.5}
CALL = (
    Delta(job="", tokens=(1,), reasoning="Hm."),
    Delta(job="", tokens=(2,), text="Let me look."),
    Delta(job="", tokens=(3,), calls=(ToolCall(0, "call_1", "weather"),)),
    Delta(job="", tokens=(4,), calls=(ToolCall(0, arguments='{"city": '),)),
    Delta(job="", tokens=(5,), calls=(ToolCall(0, arguments='"Oslo"}'),)),
)


def client(served: Served, **options: Any) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=served.url, **{"api_key": "none", "max_retries": 0, **options})


async def in_thread(served: Served, work: Callable[[anthropic.Anthropic], T]) -> T:
    def call() -> T:
        with anthropic.Anthropic(base_url=served.url, api_key="none", max_retries=0) as sync:
            return work(sync)

    return await asyncio.to_thread(call)


@pytest.fixture
async def calling() -> AsyncIterator[Served]:
    async with serve(FakeExecutor(CALL, cached=5)) as running:
        yield running


async def test_a_message(served: Served) -> None:
    answer = await in_thread(served, lambda api: api.messages.create(**ASK, extra_body=SAMPLING))
    assert answer.to_dict() | {"id": ""} == {
        "id": "",
        "type": "message",
        "role": "assistant",
        "model": "tiny",
        "content": [{"type": "text", "text": "Hello, world"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 7,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 3,
        },
    }
    (job,) = served.executor.jobs
    assert (job.sampling.temperature, job.sampling.top_k, job.sampling.top_p, job.max_tokens) == (0, 3, 0.5, 9)
    assert job.template_args == {"enable_thinking": False}


async def test_the_stream_helper_says_the_same(calling: Served) -> None:
    async with client(calling) as api:
        plain = await api.messages.create(**ASK, tools=[WEATHER])
        async with api.messages.stream(**ASK, tools=[WEATHER]) as stream:
            kinds = [event.type async for event in stream]
            streamed = await stream.get_final_message()
    assert plain.stop_reason == "tool_use"
    assert plain.content[2].to_dict() == {
        "type": "tool_use",
        "id": "call_1",
        "name": "weather",
        "input": {"city": "Oslo"},
    }
    assert [block.type for block in plain.content] == ["thinking", "text", "tool_use"]
    assert streamed.to_dict(exclude_none=True) | {"id": ""} == plain.to_dict(exclude_none=True) | {"id": ""}
    assert (streamed.usage.input_tokens, streamed.usage.cache_read_input_tokens) == (2, 5)
    assert kinds[0] == "message_start"
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 3
    assert kinds[-2:] == ["message_delta", "message_stop"]


async def test_raw_events_name_themselves(served: Served) -> None:
    async with served.client.post(served.url + "/v1/messages", json={**ASK, "stream": True}) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        blocks = (await response.text()).removesuffix("\n\n").split("\n\n")
    lines = [block.split("\n") for block in blocks]
    assert all(len(pair) == 2 and pair[1].startswith(f'data: {{"type":"{pair[0][7:]}"') for pair in lines)


async def test_a_round_of_tools_reaches_the_model(served: Served) -> None:
    turns = [
        *TURN,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": ""},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Oslo"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "Rain"}]},
                {"type": "text", "text": "So?", "cache_control": {"type": "ephemeral"}},
            ],
        },
        {"role": "user", "content": "Say it."},
    ]
    system: list[Any] = [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]
    async with client(served) as api:
        await api.messages.create(**{**ASK, "messages": turns}, system=system, tools=[WEATHER])
    (job,) = served.executor.jobs
    assert job.messages is not None
    said = [(one.role, one.content) for one in job.messages]
    assert said == [
        ("system", "Be brief.\nBe kind."),
        ("user", "Hi"),
        ("assistant", "Let me look."),
        ("tool", "Rain"),
        ("user", "So?\nSay it."),
    ]
    assert job.messages[2].reasoning == "Hm."
    assert job.messages[2].tool_calls[0]["function"] == {"name": "weather", "arguments": {"city": "Oslo"}}
    assert (job.messages[3].name, job.messages[3].tool_call_id) == ("weather", "call_1")


@pytest.mark.parametrize(
    ("choice", "means", "name", "parallel"),
    [
        ({"type": "auto"}, ToolChoice.AUTO, None, True),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice.AUTO, None, False),
        ({"type": "any"}, ToolChoice.REQUIRED, None, False),
        ({"type": "any", "disable_parallel_tool_use": False}, ToolChoice.REQUIRED, None, True),
        ({"type": "tool", "name": "weather"}, ToolChoice.REQUIRED, "weather", False),
        ({"type": "none"}, ToolChoice.NONE, None, True),
    ],
)
async def test_tool_choice(served: Served, choice: Any, means: ToolChoice, name: str | None, parallel: bool) -> None:
    async with client(served) as api:
        await api.messages.create(**ASK, tools=[WEATHER], tool_choice=choice)
    (job,) = served.executor.jobs
    assert (job.tool_choice, job.tool_name, job.parallel_tool_calls) == (means, name, parallel)


async def test_why_it_stopped() -> None:
    async with serve(FakeExecutor(reason=FinishReason.LENGTH)) as served, client(served) as api:
        assert (await api.messages.create(**ASK)).stop_reason == "max_tokens"
    cut = Delta(job="", tokens=(1,), calls=(ToolCall(0, "call_1", "weather", '{"city": "Os'),))
    async with serve(FakeExecutor([cut], reason=FinishReason.LENGTH)) as served, client(served) as api:
        answer = await api.messages.create(**ASK, tools=[WEATHER])
        assert answer.stop_reason == "max_tokens"
        assert [block.type for block in answer.content] == ["text"]
    async with serve(FakeExecutor(stop="END")) as served, client(served) as api:
        answer = await api.messages.create(**ASK, stop_sequences=["END"])
        assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "END")
        assert served.executor.jobs[0].stop == ("END",)


async def test_counting_computes_nothing(served: Served) -> None:
    async with client(served) as api:
        counted = await api.messages.count_tokens(model="tiny", messages=TURN, system="Be brief.", tools=[WEATHER])
    assert counted.input_tokens == 7
    (job,) = served.executor.jobs
    assert job.count


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"messages": [*TURN, {"role": "assistant", "content": "The answer is ("}]}, "messages"),
    ({"messages": [{"role": "system", "content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]},
        "messages[0].content[0].tool_use_id",
    ),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"name": "a b", "input_schema": {}}]}, "tools[0].name"),
    ({"tools": [{"name": "a", "input_schema": {"type": "array"}}]}, "tools[0].input_schema"),
    ({"tools": [{"name": "a", "strict": True, "input_schema": {"properties": []}}]}, "tools[0].input_schema"),
    ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "other"}}, "tool_choice.name"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
    ({"temperature": -1}, "temperature"),
    ({"mcp_servers": [{"url": "x"}]}, "mcp_servers"),
    (
        {"output_config": {"format": {"type": "json_schema", "schema": {"not": {"type": "null"}}}}},
        "output_config.format.schema",
    ),
]


@pytest.mark.parametrize(("more", "param"), REFUSED, ids=[f"{param}-{i}" for i, (_, param) in enumerate(REFUSED)])
async def test_what_is_refused(served: Served, more: dict[str, Any], param: str) -> None:
    said = await served.json("POST", "/v1/messages", 400, json={**ASK, **more})
    assert said["type"] == "error"
    assert said["error"]["type"] == "invalid_request_error"
    assert said["error"]["param"] == param
    assert said["error"]["message"]
    assert not re.match(r"json_schema|response_format|\S*\.function", said["error"]["message"]), "a word of OpenAI's"
    assert not served.executor.jobs


async def test_errors_are_the_librarys_own(served: Served) -> None:
    async with client(served) as api:
        with pytest.raises(anthropic.NotFoundError) as missing:
            await api.messages.create(**{**ASK, "model": "claude-nobody"})
        assert missing.value.type == "not_found_error"
        with pytest.raises(anthropic.NotFoundError):
            await api.messages.batches.list()
    for refuse, kind in (
        (errors.Busy("the queue is full", retry_after=1.0), anthropic.APIStatusError),
        (errors.RateLimited("too much"), anthropic.RateLimitError),
        (errors.BadRequest("no"), anthropic.BadRequestError),
    ):
        async with serve(FakeExecutor(refuse=refuse)) as busy, client(busy) as api:
            with pytest.raises(kind) as raised:
                await api.messages.create(**ASK)
            assert isinstance(raised.value.body, dict)
            assert raised.value.body["type"] == "error"


async def test_a_stream_that_breaks_ends_with_an_error() -> None:
    fail = ErrorInfo("worker_crashed", "the worker died twice")
    async with serve(FakeExecutor(fail=fail)) as served, client(served) as api:
        with pytest.raises(anthropic.APIStatusError, match="died twice"):
            async for _ in await api.messages.create(**ASK, stream=True):
                pass


async def test_its_key() -> None:
    hashes = (f"sha256:{hashlib.sha256(b'secret').hexdigest()}",)
    async with serve(key_hashes=hashes) as served:
        async with client(served, api_key="secret") as api:
            assert (await api.messages.create(**ASK)).stop_reason == "end_turn"
        async with client(served, api_key="wrong") as api:
            with pytest.raises(anthropic.AuthenticationError) as raised:
                await api.messages.create(**ASK)
            assert raised.value.type == "authentication_error"
