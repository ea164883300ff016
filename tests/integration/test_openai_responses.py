"""Responses and conversations with the real openai library, on the real model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from fakes.daemon_process import MODEL
from pydantic import BaseModel, Field

QUESTION = "What is the capital of France?"
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a town",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"town": {"type": "string", "maxLength": 20}},
        "required": ["town"],
        "additionalProperties": False,
    },
}


#: Both runs compute the prompt alike: cells that others left round otherwise than a prompt read anew.
UNCACHED = {"cache_prompt": False}


class Town(BaseModel):
    town: str = Field(max_length=20)
    inhabitants: int = Field(ge=0, le=9_999_999)


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_create_go_on_retrieve_and_delete(client: openai.OpenAI) -> None:
    first = client.responses.create(model=MODEL, input=QUESTION, temperature=0, max_output_tokens=24)
    assert "Paris" in first.output_text
    assert first.usage
    second = client.responses.create(
        model=MODEL, input="And of Italy?", previous_response_id=first.id, temperature=0, max_output_tokens=16
    )
    assert second.usage
    assert second.usage.input_tokens > first.usage.input_tokens
    assert second.usage.input_tokens_details.cached_tokens >= first.usage.input_tokens - 1
    assert client.responses.retrieve(first.id).output_text == first.output_text
    (item,) = client.responses.input_items.list(second.id)
    assert item.type == "message"
    assert item.content[0].text == "And of Italy?"  # type: ignore[union-attr]
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(second.id)


def test_what_is_counted_is_what_the_prompt_has(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": MODEL, "input": QUESTION, "instructions": "Be brief.", "tools": [WEATHER]}
    first = client.responses.create(**asked, max_output_tokens=8)
    assert first.usage
    assert client.responses.input_tokens.count(**asked).input_tokens == first.usage.input_tokens
    more: dict[str, Any] = {"model": MODEL, "input": "And of Italy?", "previous_response_id": first.id}
    second = client.responses.create(**more, max_output_tokens=8)
    assert second.usage
    assert client.responses.input_tokens.count(**more).input_tokens == second.usage.input_tokens


def test_the_stream_helper_ends_with_the_same_words(client: openai.OpenAI) -> None:
    ask: dict[str, Any] = {
        "model": MODEL, "input": QUESTION, "temperature": 0, "store": False, "extra_body": UNCACHED
    }  # fmt: skip
    plain = client.responses.create(**ask, max_output_tokens=24)
    text = ""
    with client.responses.stream(**ask) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                text += event.delta
        final = stream.get_final_response()
    assert final.output_text == text
    assert text.startswith(plain.output_text[:20])


def test_parse_gives_a_model(client: openai.OpenAI) -> None:
    answer = client.responses.parse(
        model=MODEL, input="Tell me of Bern.", text_format=Town, temperature=0, max_output_tokens=200
    )
    assert isinstance(answer.output_parsed, Town)


def test_a_tool_is_called_and_its_result_told(client: openai.OpenAI) -> None:
    asked = client.responses.create(  # type: ignore[call-overload]
        model=MODEL, input="The weather in Bern?", tools=[WEATHER], tool_choice="required", temperature=0
    )
    (call,) = [one for one in asked.output if one.type == "function_call"]
    assert call.name == "weather"
    told = client.responses.create(  # type: ignore[call-overload]
        model=MODEL,
        previous_response_id=asked.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}],
        tools=[WEATHER],
        tool_choice="none",
        temperature=0,
        max_output_tokens=24,
    )
    assert told.output_text


def test_conversations(client: openai.OpenAI) -> None:
    made = client.conversations.create(
        metadata={"room": "kitchen"}, items=[{"type": "message", "role": "user", "content": "My name is Ada."}]
    )
    answer = client.responses.create(
        model=MODEL, conversation=made.id, input="Hello!", temperature=0, max_output_tokens=16
    )
    assert answer.conversation
    assert answer.conversation.id == made.id
    items = list(client.conversations.items.list(made.id, order="asc", limit=2))
    assert [item.type for item in items] == ["message"] * 3
    added = client.conversations.items.create(made.id, items=[{"role": "user", "content": "Bye."}])
    assert client.conversations.items.retrieve(added.data[0].id or "", conversation_id=made.id) == added.data[0]
    client.conversations.items.delete(added.data[0].id or "", conversation_id=made.id)
    assert client.conversations.update(made.id, metadata={"room": "hall"}).metadata == {"room": "hall"}
    assert client.conversations.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(made.id)


@pytest.fixture
async def aio(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def test_async_plain_and_streamed(aio: openai.AsyncOpenAI) -> None:
    ask: dict[str, Any] = {
        "model": MODEL, "input": QUESTION, "temperature": 0, "max_output_tokens": 16, "extra_body": UNCACHED
    }  # fmt: skip
    plain = await aio.responses.create(**ask)
    kinds, text = [], ""
    async for event in await aio.responses.create(**ask, stream=True):
        kinds.append(event.type)
        text += event.delta if event.type == "response.output_text.delta" else ""
    assert text == plain.output_text
    assert kinds[0] == "response.created"
    assert kinds[-1] in {"response.completed", "response.incomplete"}
    assert (await aio.responses.retrieve(plain.id)).output_text == text
    await aio.responses.delete(plain.id)
    with pytest.raises(openai.NotFoundError):
        await aio.responses.input_items.list(plain.id)


async def test_async_call_and_parsed_answer(aio: openai.AsyncOpenAI) -> None:
    ask: dict[str, Any] = {
        "model": MODEL, "tools": [WEATHER], "tool_choice": "required", "temperature": 0, "extra_body": UNCACHED
    }  # fmt: skip
    plain = await aio.responses.create(**ask, input="The weather in Bern?")
    streamed = [
        event.arguments
        async for event in await aio.responses.create(**ask, input="The weather in Bern?", stream=True)
        if event.type == "response.function_call_arguments.done"
    ]
    assert streamed == [call.arguments for call in plain.output if call.type == "function_call"] != []
    parsed = await aio.responses.parse(
        model=MODEL, input="Tell me of Bern.", text_format=Town, temperature=0, max_output_tokens=200
    )
    assert isinstance(parsed.output_parsed, Town)


async def test_async_conversation_and_its_items(aio: openai.AsyncOpenAI) -> None:
    made = await aio.conversations.create(items=[{"type": "message", "role": "user", "content": "My name is Ada."}])
    await aio.conversations.items.create(made.id, items=[{"role": "assistant", "content": "Hello Ada."}])
    assert [item.type async for item in aio.conversations.items.list(made.id, limit=1)] == ["message"] * 2
    answer = await aio.responses.create(model=MODEL, conversation=made.id, input="Hello!", max_output_tokens=8)
    assert answer.conversation
    assert answer.conversation.id == made.id
    assert (await aio.conversations.update(made.id, metadata={"room": "hall"})).metadata == {"room": "hall"}
    assert (await aio.conversations.delete(made.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await aio.conversations.retrieve(made.id)
