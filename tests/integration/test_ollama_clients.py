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
#: Asked first: those who ask the same after it then find their prompt in the same cells, and compute the same bits.
READ = {**GREEDY, "num_predict": 1}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}


@pytest.fixture
def client(url: str) -> Iterator[ollama.Client]:
    with ollama.Client(url) as client:
        yield client


def test_a_stream_says_the_same_as_the_plain_answer(client: ollama.Client) -> None:
    question = [{"role": "system", "content": "You know all capitals."}, *QUESTION]
    client.chat(MODEL, question, options=READ)
    plain = client.chat(MODEL, question, options=GREEDY, think=False)
    lines = list(client.chat(MODEL, question, options=GREEDY, stream=True))
    assert "Paris" in (plain.message.content or "")
    assert "".join(line.message.content or "" for line in lines) == plain.message.content
    assert lines[-1].done
    assert plain.eval_count
    assert plain.eval_duration


async def test_async_chat_and_generate(url: str) -> None:
    async with ollama.AsyncClient(url) as client:
        question = "What is the capital of Norway?"
        await client.generate(MODEL, question, options=READ)
        chat = await client.chat(MODEL, [{"role": "user", "content": question}], options=GREEDY, keep_alive=-1)
        generated = await client.generate(MODEL, question, options=GREEDY)
        assert generated.response == chat.message.content
        stream = await client.generate(MODEL, question, options=GREEDY, stream=True)
        assert "".join([line.response or "" async for line in stream]) == generated.response


def test_a_form(client: ollama.Client) -> None:
    answer = client.chat(MODEL, QUESTION, format=SCHEMA, options={**GREEDY, "num_predict": 60})
    assert isinstance(json.loads(answer.message.content or "")["city"], str)


async def test_async_form_and_models(url: str) -> None:
    async with ollama.AsyncClient(url) as client:
        form = await client.chat(MODEL, QUESTION, format=SCHEMA, options={**GREEDY, "num_predict": 60})
        assert isinstance(json.loads(form.message.content or "")["city"], str)
        name = f"{MODEL}:latest"
        assert (await client.show(MODEL)).modelinfo
        assert name in {model.model for model in (await client.list()).models}
        assert name in {model.model for model in (await client.ps()).models}
        assert [step.status async for step in await client.pull(MODEL, stream=True)][-1] == "success"
        with pytest.raises(ollama.ResponseError, match="model 'nobody' not found"):
            await client.show("nobody")


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
    assert {name, "pirate:latest"} <= {model.model for model in client.ps().models}
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


def test_a_conversation_that_is_too_long_loses_its_beginning(client: ollama.Client, url: str) -> None:
    talk = [{"role": role, "content": "word " * 40} for _ in range(20) for role in ("user", "assistant")]
    messages = [{"role": "system", "content": "Be brief."}, *talk, *QUESTION]
    answer = client.chat(MODEL, messages, options=GREEDY)
    assert answer.message.content
    assert 256 < (answer.prompt_eval_count or 0) < 1024, "no more is lost than must be"
    body = {"model": MODEL, "messages": messages, "truncate": False}
    refused = httpx.post(f"{url}/api/chat", json=body, timeout=60)
    assert (refused.status_code, refused.json()["code"]) == (400, "context_length_exceeded")
    long = "word " * 3000
    answer = client.chat(MODEL, [*messages, {"role": "user", "content": long}], options=GREEDY)
    assert answer.done
    assert 256 < (answer.prompt_eval_count or 0) < 1024
    for raw in (False, True):
        assert 256 < (client.generate(MODEL, long, raw=raw, options=GREEDY).prompt_eval_count or 0) < 1024
    body = {"model": MODEL, "prompt": long, "truncate": False}
    refused = httpx.post(f"{url}/api/generate", json=body, timeout=60)
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("the input length exceeds the context length")


def test_what_is_installed_is_pulled_at_once(client: ollama.Client) -> None:
    client.copy(MODEL, "second")
    assert [step.status for step in client.pull("second", stream=True)][-1] == "success"
    assert client.pull("second:latest").status == "success"
    client.delete("second")


def test_an_image_is_refused_in_words(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="vision") as refused:
        client.chat(MODEL, [{"role": "user", "content": "What is this?", "images": [b"\x89PNG"]}])
    assert refused.value.status_code == 400
    with pytest.raises(ollama.ResponseError, match="vision"):
        client.generate(MODEL, "What is this?", images=[b"\x89PNG"])


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


async def test_langchain_async(url: str) -> None:
    with langchain(url) as chat:
        try:
            question = "What is the capital city of France?"
            await chat.ainvoke(question, options=READ)
            answer = await chat.ainvoke(question)
            assert "Paris" in str(answer.content)
            chunks = [chunk async for chunk in chat.astream(question)]
        finally:
            await chat._async_client.close()
    assert "".join(str(chunk.content) for chunk in chunks) == answer.content
