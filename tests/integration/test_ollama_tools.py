"""Tool calls with the real ollama library and an agent on ChatOllama, on the real model.

Ollama has no `tool_choice`, and the model is small: it calls when the conversation has shown it how, and with some
seeds only. Which ones is looked for; what is asked again with such a seed is the same every time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ollama
import pytest
from fakes.daemon_process import MODEL
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SEEDS = range(1, 25)
GREEDY = {"temperature": 0, "num_predict": 40}
#: Asked first: those who ask the same after it then find their prompt in the same cells, and compute the same bits.
READ = {**GREEDY, "num_predict": 1}
ONE = [["London"], ["Rome"], ["Oslo"]]
TWO = [["London", "Rome"], ["Oslo", "Bern"]]


def asked(cities: Sequence[str]) -> dict[str, Any]:
    return {"role": "user", "content": f"What is the weather in {' and '.join(cities)}?"}


def examples(each: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Questions that were answered by calling."""
    turns: list[dict[str, Any]] = []
    for cities in each:
        calls = [{"function": {"name": "get_weather", "arguments": {"city": city}}} for city in cities]
        results = [{"role": "tool", "content": f"rain in {city}"} for city in cities]
        said = {"role": "assistant", "content": f"There is rain in {' and '.join(cities)}."}
        turns += [asked(cities), {"role": "assistant", "content": "", "tool_calls": calls}, *results, said]
    return turns


def called(message: ollama.Message) -> list[tuple[str, Mapping[str, Any]]]:
    return [(call.function.name, call.function.arguments) for call in message.tool_calls or ()]


def sampling(seed: int) -> dict[str, Any]:
    return {"temperature": 0.8, "seed": seed, "num_predict": 120}


@pytest.mark.parametrize(
    ("shown", "cities"), [(ONE, ["Paris"]), (TWO, ["Paris", "Madrid"])], ids=["one call", "several calls"]
)
def test_calls_streamed_and_not_and_their_results_in_the_next_turn(
    url: str, shown: Sequence[Sequence[str]], cities: list[str]
) -> None:
    messages = [*examples(shown), asked(cities)]
    with ollama.Client(url) as client:
        client.chat(MODEL, messages, tools=[WEATHER], options=READ)
        for seed in SEEDS:
            answer = client.chat(MODEL, messages, tools=[WEATHER], options=sampling(seed))
            calls = called(answer.message)
            if len(calls) == len(cities):
                break
        assert [name for name, _ in calls] == ["get_weather"] * len(cities)
        assert all(isinstance(arguments["city"], str) for _, arguments in calls)
        lines = list(client.chat(MODEL, messages, tools=[WEATHER], options=sampling(seed), stream=True))
        assert [call for line in lines for call in called(line.message)] == calls
        assert lines[-1].done
        plain: list[ollama.ChatResponse] = []
        for named in ({}, {"tool_name": "get_weather"}):
            results = [{"role": "tool", "content": f"snow in {call['city']}", **named} for _, call in calls]
            turns = [*messages, answer.message, *results]
            client.chat(MODEL, turns, tools=[WEATHER], options=READ)
            plain.append(client.chat(MODEL, turns, tools=[WEATHER], options=GREEDY))
            stream = client.chat(MODEL, turns, tools=[WEATHER], options=GREEDY, stream=True)
            assert "".join(line.message.content or "" for line in stream) == plain[-1].message.content
        unnamed, known = plain
        assert unnamed.message.content == known.message.content
        before = client.chat(MODEL, turns[: -len(results)], tools=[WEATHER], options=READ)
        counted = [answer.prompt_eval_count or 0 for answer in (before, unnamed)]
        assert counted[1] > counted[0] + 4 * len(results), "the results are in the prompt"


async def test_async_calls_streamed_and_not(url: str) -> None:
    messages = [*examples(ONE), asked(["Paris"])]
    async with ollama.AsyncClient(url) as client:
        await client.chat(MODEL, messages, tools=[WEATHER], options=READ)
        for seed in SEEDS:
            if calls := called((await client.chat(MODEL, messages, tools=[WEATHER], options=sampling(seed))).message):
                break
        assert [name for name, _ in calls] == ["get_weather"] * len(calls) != []
        stream = await client.chat(MODEL, messages, tools=[WEATHER], options=sampling(seed), stream=True)
        assert [call async for line in stream for call in called(line.message)] == calls


@tool
def get_weather(city: str) -> str:
    """The weather of a city"""
    return f"snow in {city}"


@contextlib.contextmanager
def langchain(url: str, seed: int) -> Iterator[ChatOllama]:
    chat = ChatOllama(base_url=url, model=MODEL, temperature=0.8, seed=seed, num_predict=60)
    try:
        yield chat
    finally:  # it does not do so itself
        chat._client.close()


def turns() -> list[BaseMessage]:
    """The examples, as LangChain has them, and a question."""
    made: list[BaseMessage] = []
    for (city,) in ONE:
        call = {"name": "get_weather", "args": {"city": city}, "id": city}
        made += [
            HumanMessage(f"What is the weather in {city}?"),
            AIMessage("", tool_calls=[call]),
            ToolMessage(f"rain in {city}", tool_call_id=city),
            AIMessage(f"There is rain in {city}."),
        ]
    return [*made, HumanMessage("What is the weather in Paris?")]


def test_an_agent_calls_a_tool_and_answers_with_its_result(url: str) -> None:
    for seed in SEEDS:
        with langchain(url, seed) as chat:
            if not chat.bind_tools([get_weather]).invoke(turns()).tool_calls:
                continue
            state = create_agent(chat, [get_weather]).invoke({"messages": turns()}, {"recursion_limit": 12})
        new = state["messages"][len(turns()) :]
        if [type(message) for message in new] == [AIMessage, ToolMessage, AIMessage]:
            break
    call, result, answer = new
    assert call.tool_calls[0]["name"] == "get_weather"
    assert result.content == f"snow in {call.tool_calls[0]['args']['city']}"
    assert answer.content
