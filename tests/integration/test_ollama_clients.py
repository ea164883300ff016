"""The real ollama library and LangChain's ChatOllama, sync and async, streaming and not, on the real model."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import ollama
import pytest
from fakes.daemon_process import MODEL
from langchain_core.tools import tool
from langchain_ollama import ChatOllama

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
GREEDY = {"temperature": 0, "num_predict": 24, "num_ctx": 8192}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}


@pytest.fixture
def client(url: str) -> Iterator[ollama.Client]:
    with ollama.Client(url) as client:
        yield client


def test_a_stream_says_the_same_as_the_plain_answer(client: ollama.Client) -> None:
    plain = client.chat(MODEL, QUESTION, options=GREEDY, think=False)
    lines = list(client.chat(MODEL, QUESTION, options=GREEDY, stream=True))
    assert "Paris" in (plain.message.content or "")
    assert "".join(line.message.content or "" for line in lines) == plain.message.content
    assert lines[-1].done
    assert plain.eval_count
    assert plain.eval_duration


async def test_async_chat_and_generate(url: str) -> None:
    async with ollama.AsyncClient(url) as client:
        chat = await client.chat(MODEL, QUESTION, options=GREEDY, keep_alive=-1)
        generated = await client.generate(MODEL, QUESTION[0]["content"], options=GREEDY)
        assert generated.response == chat.message.content
        stream = await client.generate(MODEL, QUESTION[0]["content"], options=GREEDY, stream=True)
        assert "".join([line.response or "" async for line in stream]) == generated.response


def test_a_form(client: ollama.Client) -> None:
    answer = client.chat(MODEL, QUESTION, format=SCHEMA, options={**GREEDY, "num_predict": 60})
    assert isinstance(json.loads(answer.message.content or "")["city"], str)


def test_show_list_ps_and_a_preset(client: ollama.Client) -> None:
    name = f"{MODEL}:latest"
    shown = client.show(MODEL)
    assert shown.modelinfo
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.template
    assert "completion" in (shown.capabilities or ())
    assert name in {model.model for model in client.list().models}
    client.generate(MODEL, keep_alive=-1)
    assert name in {model.model for model in client.ps().models}
    client.create("pirate", from_=MODEL, system="You are a pirate.", parameters={"temperature": 0, "num_predict": 5})
    assert client.chat("pirate", QUESTION).eval_count == 5
    client.delete("pirate")
    with pytest.raises(ollama.ResponseError, match="model 'pirate' not found"):
        client.show("pirate")


def test_what_the_command_line_does_for_run(client: ollama.Client, url: str) -> None:
    assert httpx.head(url).status_code == 200
    with pytest.raises(ollama.ResponseError) as missing:
        client.show("nobody")
    assert missing.value.status_code == 404
    with pytest.raises(ollama.ResponseError):
        client.pull("nobody")
    assert client.generate(MODEL).done_reason == "load"
    assert client.chat(MODEL, QUESTION, options=GREEDY).message.content


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"Rain in {city}."


@contextlib.contextmanager
def langchain(url: str, **more: Any) -> Iterator[ChatOllama]:
    chat = ChatOllama(base_url=url, model=MODEL, temperature=0, num_predict=60, validate_model_on_init=True, **more)
    try:
        yield chat
    finally:  # it does not do so itself
        chat._client.close()


def test_langchain(url: str) -> None:
    with langchain(url) as chat:
        answer = chat.invoke("What is the capital of France?")
        assert "Paris" in str(answer.content)
        assert answer.usage_metadata
        assert answer.usage_metadata["input_tokens"] > 0
        assert chat.bind_tools([get_weather]).invoke("What is the weather in Paris?").type == "ai"
    with langchain(url, format=SCHEMA) as chat:
        assert "city" in json.loads(str(chat.invoke("What is the capital of France?").content))
