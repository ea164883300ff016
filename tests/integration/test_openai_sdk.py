"""The real openai library, sync and async, streaming and not, against a running daemon on the real model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from fakes.daemon_process import MODEL
from pydantic import BaseModel, Field

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a town",
        "parameters": {
            "type": "object",
            "properties": {"town": {"type": "string", "maxLength": 20}},
            "required": ["town"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


#: Both runs compute the prompt alike: cells that others left round otherwise than a prompt read anew.
UNCACHED = {"cache_prompt": False}


class Town(BaseModel):
    town: str = Field(max_length=20)
    people: int = Field(ge=0, le=9)


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def asynchronous(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def chat(client: openai.OpenAI, **more: object) -> openai.types.chat.ChatCompletion:
    return client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, "temperature": 0, **more})  # type: ignore[call-overload,no-any-return]


def test_chat(client: openai.OpenAI) -> None:
    answer = chat(client, max_tokens=24)
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason in {"stop", "length"}
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_says_the_same_as_the_plain_answer(client: openai.OpenAI) -> None:
    plain = chat(client, max_tokens=40, extra_body=UNCACHED).choices[0].message.content
    usage = None
    text = ""
    for chunk in client.chat.completions.create(
        model=MODEL,
        messages=QUESTION,  # type: ignore[arg-type]
        temperature=0,
        max_tokens=40,
        stream=True,
        stream_options={"include_usage": True},
        extra_body=UNCACHED,
    ):
        usage = chunk.usage or usage
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert text == plain
    assert usage
    assert usage.prompt_tokens_details
    assert usage.prompt_tokens_details.cached_tokens == 0
    again = chat(client, max_tokens=1).usage
    assert again
    assert again.prompt_tokens_details
    assert again.prompt_tokens_details.cached_tokens


async def test_async_chat_and_stream(url: str) -> None:
    async with asynchronous(url) as client:
        ask: dict[str, Any] = {
            "model": MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 24, "extra_body": UNCACHED
        }  # fmt: skip
        plain = await client.chat.completions.create(**ask)
        stream = await client.chat.completions.create(**ask, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == plain.choices[0].message.content


def test_completions_and_their_stream(client: openai.OpenAI) -> None:
    ask: dict[str, Any] = {
        "model": MODEL, "prompt": "Once upon a time", "temperature": 0, "max_tokens": 16, "extra_body": UNCACHED
    }  # fmt: skip
    plain = client.completions.create(**ask)
    stream = client.completions.create(**ask, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == plain.choices[0].text
    assert plain.choices[0].text


def test_several_prompts_and_several_choices(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt=["One", "Two"], max_tokens=4, n=2, seed=1)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]


def test_a_seed_repeats_and_another_differs(client: openai.OpenAI) -> None:
    texts = [
        chat(client, temperature=1.0, seed=seed, max_tokens=24, extra_body=UNCACHED).choices[0].message.content
        for seed in (7, 7, 8, 9, 10)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_a_seed_repeats_whatever_was_asked_in_between(client: openai.OpenAI) -> None:
    """A longer prompt's tiles hold the question's own beginning, rounded otherwise."""
    fields: dict[str, Any] = {"seed": 7, "max_tokens": 24, "logprobs": True}
    sampling = {**UNCACHED, "temperature": 1}
    longer = [{"role": "user", "content": f"{QUESTION[0]['content']} {'And of Spain? ' * 40}"}]

    def answer() -> list[tuple[str, float]]:
        completion = chat(client, **fields, extra_body=sampling)
        assert completion.usage.prompt_tokens_details.cached_tokens == 0
        return [(token.token, token.logprob) for token in completion.choices[0].logprobs.content]

    before = answer()
    chat(client, messages=longer, max_tokens=1)
    assert answer() == before


def test_stop_strings_end_the_answer_before_them(client: openai.OpenAI) -> None:
    whole = chat(client, max_tokens=40, extra_body=UNCACHED).choices[0].message.content or ""
    stop = whole[8:12]
    answer = chat(client, max_tokens=40, stop=[stop], extra_body=UNCACHED).choices[0]
    assert answer.message.content == whole[: whole.index(stop)]
    assert answer.finish_reason == "stop"


def test_logprobs_add_up(client: openai.OpenAI) -> None:
    answer = chat(client, max_tokens=6, logprobs=True, top_logprobs=3).choices[0]
    assert answer.logprobs
    assert answer.logprobs.content
    assert "".join(token.token for token in answer.logprobs.content) == answer.message.content
    for token in answer.logprobs.content:
        assert token.logprob <= 0
        assert token.top_logprobs[0].logprob >= token.top_logprobs[-1].logprob
        assert token.token == token.top_logprobs[0].token, "at temperature 0 the most likely token is the chosen one"


def test_a_logit_bias_forbids_a_token(client: openai.OpenAI) -> None:
    plain = client.completions.create(model=MODEL, prompt="1 2 3 4", temperature=0, max_tokens=8, logprobs=1)
    assert plain.choices[0].text
    banned = client.completions.create(
        model=MODEL, prompt="1 2 3 4", temperature=0, max_tokens=8, logit_bias={str(i): -100 for i in range(200, 1200)}
    )
    assert banned.choices[0].text != plain.choices[0].text


def test_a_round_of_tools(client: openai.OpenAI) -> None:
    asked = chat(client, tools=[WEATHER], tool_choice="required", max_tokens=60).choices[0]
    assert asked.finish_reason == "tool_calls"
    (call,) = asked.message.tool_calls or ()
    assert call.type == "function"
    assert set(json.loads(call.function.arguments)) == {"town"}
    told = {"role": "tool", "tool_call_id": call.id, "content": "Rain, 7 degrees"}
    turns = [*QUESTION, asked.message.model_dump(exclude_none=True), told]
    assert chat(client, messages=turns, tools=[WEATHER], tool_choice="none", max_tokens=16).choices[0].message.content


def test_parse_gives_a_model_and_so_does_the_stream_helper(client: openai.OpenAI) -> None:
    fields: Any = {
        "model": MODEL, "messages": QUESTION, "response_format": Town, "temperature": 0, "extra_body": UNCACHED
    }  # fmt: skip
    plain = client.chat.completions.parse(**fields).choices[0].message.parsed
    assert isinstance(plain, Town)
    with client.chat.completions.stream(**fields) as stream:
        assert "content.delta" in {event.type for event in stream}
        assert stream.get_final_completion().choices[0].message.parsed == plain


async def test_async_models_and_errors(url: str) -> None:
    async with asynchronous(url) as client:
        assert [model.id async for model in client.models.list()] == [MODEL]
        assert (await client.models.retrieve(MODEL)).id == MODEL
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("no-such-model")


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"model": "no-such-model"}, openai.NotFoundError),
        ({"temperature": 99}, openai.BadRequestError),
        ({"messages": [{"role": "martian", "content": "hi"}]}, openai.BadRequestError),
        ({"messages": [{"role": "user", "content": "word " * 3000}]}, openai.BadRequestError),
        ({"messages": []}, openai.BadRequestError),
    ],
)
def test_errors_have_the_class_that_clients_expect(
    client: openai.OpenAI, fields: dict[str, object], error: type[openai.APIStatusError]
) -> None:
    with pytest.raises(error) as caught:
        chat(client, **fields)
    assert caught.value.message


def test_context_overflow_names_the_numbers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, messages=[{"role": "user", "content": "word " * 3000}])
    assert caught.value.code == "context_length_exceeded"
    assert "1024" in caught.value.message


def test_a_stored_chat_is_found_again_and_deleted(client: openai.OpenAI) -> None:
    chats = client.chat.completions
    answer = chats.create(model=MODEL, messages=QUESTION, temperature=0, max_tokens=16, store=True, metadata={"a": "b"})  # type: ignore[arg-type]
    again = chats.retrieve(answer.id)
    assert (again.choices, again.usage, again.created) == (answer.choices, answer.usage, answer.created)
    assert [one.content for one in chats.messages.list(answer.id)] == [QUESTION[0]["content"]]
    assert [one.id for one in chats.list(metadata={"a": "b"}, model=MODEL)] == [answer.id]
    chats.delete(answer.id)
    with pytest.raises(openai.NotFoundError):
        chats.retrieve(answer.id)
