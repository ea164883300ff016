"""An agent of LangChain, and its model with tools, against a running daemon on the real model."""

from __future__ import annotations

from typing import Annotated, Any

import httpx
import openai
import pytest
from fakes.daemon_process import MODEL
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, SecretStr

ASKED: list[str] = []


@tool
def get_weather(city: Annotated[str, Field(max_length=20)]) -> str:
    """The weather of a city."""
    ASKED.append(city)
    return "It is 7 degrees and raining."


#: Each run computes its prompt alike: cells that others left round otherwise than a prompt read anew.
UNCACHED = {"cache_prompt": False}


def model(url: str, **fields: Any) -> ChatOpenAI:
    return ChatOpenAI(
        base_url=f"{url}/v1",
        api_key=SecretStr("none"),
        model=MODEL,
        temperature=0,
        max_retries=0,
        extra_body=UNCACHED,
        **fields,
    )


class Town(BaseModel):
    """A town"""

    town: str = Field(max_length=20)
    people: int = Field(ge=0, le=9)


QUESTION = "What is the capital of France?"


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
async def test_chat_plain_and_streamed_sync_and_async(url: str, responses: bool) -> None:
    async with httpx.AsyncClient() as http:  # it does not close its own
        chat = model(url, max_completion_tokens=24, use_responses_api=responses, http_async_client=http)
        plain = chat.invoke(QUESTION)
        assert "Paris" in plain.text
        assert plain.usage_metadata
        assert plain.usage_metadata["output_tokens"] > 0
        assert "".join(chunk.text for chunk in chat.stream(QUESTION)) == plain.text
        assert (await chat.ainvoke(QUESTION)).text == plain.text
        assert "".join([chunk.text async for chunk in chat.astream(QUESTION)]) == plain.text


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_a_form(url: str, method: Any, responses: bool) -> None:
    chat = model(url, max_completion_tokens=120, use_responses_api=responses)
    assert isinstance(chat.with_structured_output(Town, method=method).invoke("Tell me of Bern."), Town)


def test_a_response_goes_on_from_the_one_before(url: str) -> None:
    chat = model(url, max_completion_tokens=16, use_responses_api=True, use_previous_response_id=True)
    said: list[BaseMessage] = [HumanMessage("My name is Ada.")]
    said += [chat.invoke(said), HumanMessage("What is my name?")]
    answer = chat.invoke(said)
    assert answer.usage_metadata
    assert answer.usage_metadata["input_tokens"] > 40, "what was said before is in the prompt"


def test_errors(url: str) -> None:
    with pytest.raises(openai.NotFoundError):
        model(url).invoke("Hi", model="no-such-model")
    with pytest.raises(openai.BadRequestError):
        model(url).invoke("Hi", temperature=99)


@pytest.mark.parametrize("choice", ["required", "get_weather"])
def test_a_bound_tool_is_called_streamed_and_not(url: str, choice: str) -> None:
    chat = model(url, max_completion_tokens=120).bind_tools([get_weather], tool_choice=choice)
    plain = chat.invoke("What is the weather in Paris?")
    (call,) = plain.tool_calls
    assert call["name"] == "get_weather"
    assert isinstance(call["args"]["city"], str)
    whole = None
    pieces = 0
    for chunk in chat.stream("What is the weather in Paris?"):
        whole = chunk if whole is None else whole + chunk
        pieces += len(getattr(chunk, "tool_call_chunks", ()))
    assert isinstance(whole, AIMessage)
    assert pieces > 2
    assert [(one["name"], one["args"]) for one in whole.tool_calls] == [(call["name"], call["args"])]


def test_an_agent_calls_a_tool_and_answers_with_its_result(url: str) -> None:
    """The model is made to call in its first turn, and to answer in the next: 135M parameters would not choose well."""
    ASKED.clear()

    class Once(ChatOpenAI):
        def _get_request_payload(self, input_: Any, *, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
            payload = super()._get_request_payload(input_, stop=stop, **kwargs)
            told = any(message["role"] == "tool" for message in payload["messages"])
            return {**payload, "tool_choice": "none" if told else "required"}

    chat = Once(
        base_url=f"{url}/v1",
        api_key=SecretStr("none"),
        model=MODEL,
        temperature=0,
        max_retries=0,
        max_completion_tokens=60,
    )
    state = create_agent(chat, [get_weather]).invoke({"messages": [("user", "What is the weather in Paris?")]})
    kinds = [type(message) for message in state["messages"][1:]]
    assert kinds == [AIMessage, ToolMessage, AIMessage]
    assert len(ASKED) == 1
    assert state["messages"][-1].content
