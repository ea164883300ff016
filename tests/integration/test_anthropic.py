"""The real anthropic library, sync and async, on the real model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from fakes.daemon_process import MODEL

QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
ASK: dict[str, Any] = {"model": MODEL, "messages": QUESTION, "max_tokens": 24, "extra_body": {"temperature": 0}}
#: Asked first: those who ask the same after it then find their prompt in the same cells, and compute the same bits.
READ: dict[str, Any] = {"max_tokens": 1}
WEATHER: Any = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@pytest.fixture
def client(url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_stream_says_the_same_as_the_plain_answer(client: anthropic.Anthropic) -> None:
    client.messages.create(**{**ASK, **READ}, system="Be brief.")
    plain = client.messages.create(**ASK, system="Be brief.")
    with client.messages.stream(**ASK, system="Be brief.") as stream:
        streamed = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert "Paris" in streamed
    assert streamed == text_of(plain) == text_of(final)
    assert final.usage.output_tokens == plain.usage.output_tokens
    counted = client.messages.count_tokens(model=MODEL, messages=QUESTION, system="Be brief.")
    assert counted.input_tokens == plain.usage.input_tokens + (plain.usage.cache_read_input_tokens or 0)


async def test_async(url: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as client:
        ask = {**ASK, "system": "Be kind."}
        await client.messages.create(**{**ask, **READ})
        plain = await client.messages.create(**ask)
        async with client.messages.stream(**ask) as stream:
            assert await stream.get_final_text() == text_of(plain)


def test_a_round_of_tools(client: anthropic.Anthropic) -> None:
    ask = {**ASK, "max_tokens": 80, "tools": [WEATHER]}
    turns: list[Any] = [{"role": "user", "content": "What is the weather in Oslo?"}]
    called = client.messages.create(
        **{**ask, "messages": turns}, tool_choice={"type": "any", "disable_parallel_tool_use": True}
    )
    assert called.stop_reason == "tool_use"
    (use,) = [block for block in called.content if block.type == "tool_use"]
    assert use.name == "weather"
    assert isinstance(use.input, dict)
    assert set(use.input) == {"city"}
    turns.append({"role": "assistant", "content": called.content})
    turns.append(
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "Rain, 7 degrees"}]}
    )
    answer = client.messages.create(**{**ask, "messages": turns}, tool_choice={"type": "none"})
    assert text_of(answer)
    assert answer.stop_reason in ("end_turn", "max_tokens")


def test_a_form(client: anthropic.Anthropic) -> None:
    form = {"type": "json_schema", "schema": WEATHER["input_schema"]}
    answer = client.messages.create(**{**ASK, "max_tokens": 60}, output_config={"format": form})
    assert isinstance(json.loads(text_of(answer))["city"], str)


async def test_async_call_form_and_counting(url: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as client:
        async with client.messages.stream(
            **{**ASK, "max_tokens": 80}, tools=[WEATHER], tool_choice={"type": "tool", "name": "weather"}
        ) as stream:
            (use,) = (await stream.get_final_message()).content
        assert use.type == "tool_use"
        assert set(use.input) == {"city"}
        form = {"type": "json_schema", "schema": WEATHER["input_schema"]}
        answer = await client.messages.create(**{**ASK, "max_tokens": 60}, output_config={"format": form})
        assert isinstance(json.loads(text_of(answer))["city"], str)
        counted = await client.messages.count_tokens(model=MODEL, messages=QUESTION)
        assert counted.input_tokens > 10
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(**{**ASK, "model": "claude-nobody"})


def test_a_stop_sequence(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(**ASK, stop_sequences=["Paris"])
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "Paris")
    assert "Paris" not in text_of(answer)


def test_models(client: anthropic.Anthropic) -> None:
    names = [model.id for model in client.models.list(limit=1)]
    assert ASK["model"] in names
    assert client.models.retrieve(ASK["model"]).created_at.year >= 2024


def test_an_unknown_model(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as raised:
        client.messages.create(**{**ASK, "model": "claude-nobody"})
    assert raised.value.type == "not_found_error"
