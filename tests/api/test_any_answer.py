"""Whatever a model says, in whatever pieces: every dialect tells all of it, and lines are lines to every client."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fakes.executor import FakeExecutor
from fakes.served import Served, serve
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mongarsd.ground.job import Delta, ToolCall

Answer = tuple[str, str, list[tuple[str, str]]]  # reasoning, text, calls: names and arguments

HI = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
#: Ends of lines to somebody, and what may end a string, an event or a field.
LETTERS = 'a :[]"\\\0\r\n\x0b\x1c\x85\u2028\u2029é中😀'
PIECES = st.lists(st.text(LETTERS, max_size=6) | st.just("data: [DONE]\n\n"), max_size=4)


@st.composite
def answers(draw: st.DrawFn) -> list[Delta]:
    thought, text = draw(PIECES), draw(PIECES)
    deltas = [Delta(job="", tokens=(1,), reasoning=piece) for piece in thought]
    if thought and text and draw(st.booleans()):  # a token may end the one and begin the other
        deltas[-1] = Delta(job="", tokens=(1,), reasoning=thought[-1], text=text.pop(0))
    deltas += [Delta(job="", tokens=(2,), text=piece) for piece in text]
    for index in range(draw(st.integers(0, 2))):
        arguments = json.dumps(draw(st.dictionaries(st.text(LETTERS, max_size=3), st.text(LETTERS), max_size=2)))
        cut = draw(st.integers(0, len(arguments)))
        begin = ToolCall(index, f"call_{index}", "f", arguments[:cut])
        rest = Delta(job="", tokens=(4,), calls=(ToolCall(index, arguments=arguments[cut:]),))
        deltas += [Delta(job="", tokens=(3,), calls=(begin,)), rest]
    return deltas


def said(deltas: list[Delta]) -> Answer:
    calls: list[tuple[str, str]] = []
    for call in (call for delta in deltas for call in delta.calls):
        if call.name:
            calls.append((call.name, ""))
        calls[-1] = calls[-1][0], calls[-1][1] + call.arguments
    return "".join(delta.reasoning for delta in deltas), "".join(delta.text for delta in deltas), calls


async def stream(served: Served, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of the lines, by a client that takes for an end of a line whatever Python does."""
    async with served.client.post(served.url + path, json=body) as response:
        text = (await response.read()).decode()
        assert response.status == 200, text
    lines = [line for line in text.splitlines() if line and not line.startswith(("event: ", ":"))]
    found = [line.removeprefix("data: ") for line in lines]
    return [json.loads(line) for line in found if line != "[DONE]"]


def chat(told: list[dict[str, Any]]) -> Answer:
    deltas = [choice["delta"] for one in told for choice in one["choices"]]
    calls: dict[int, tuple[str, str]] = {}
    for call in (call for delta in deltas for call in delta.get("tool_calls", ())):
        name, arguments = calls.get(call["index"], ("", ""))
        calls[call["index"]] = name + call["function"].get("name", ""), arguments + call["function"]["arguments"]
    reasoning = "".join(delta.get("reasoning_content", "") for delta in deltas)
    return reasoning, "".join(delta.get("content", "") for delta in deltas), list(calls.values())


def ollama(told: list[dict[str, Any]]) -> Answer:
    assert [one["done"] for one in told] == [False] * (len(told) - 1) + [True]
    messages = [one["message"] for one in told]
    functions = [call["function"] for message in messages for call in message.get("tool_calls", ())]
    calls = [(function["name"], json.dumps(function["arguments"])) for function in functions]
    return "".join(m.get("thinking", "") for m in messages), "".join(m["content"] for m in messages), calls


def anthropic(told: list[dict[str, Any]]) -> Answer:
    blocks: list[dict[str, str]] = []
    for one in told[1:-2]:
        if one["type"] == "content_block_start":
            assert one["index"] == len(blocks)
            blocks.append({"type": one["content_block"]["type"], "name": one["content_block"].get("name", ""), "": ""})
            continue
        assert one["index"] == len(blocks) - 1
        if one["type"] == "content_block_delta":
            (piece,) = (text for name, text in one["delta"].items() if name != "type")
            blocks[-1][""] += piece
    of = {kind: [block for block in blocks if block["type"] == kind] for kind in ("thinking", "text", "tool_use")}
    calls = [(block["name"], block[""]) for block in of["tool_use"]]
    return "".join(block[""] for block in of["thinking"]), "".join(block[""] for block in of["text"]), calls


def responses(told: list[dict[str, Any]]) -> Answer:
    pieces = {"reasoning": "", "output_text": ""}
    for one in told:
        kind = one["type"].removeprefix("response.").partition(".")[0].removesuffix("_text")
        kind = "output_text" if kind == "output" else kind
        if one["type"].endswith("text.delta") and kind in pieces:
            pieces[kind] += one["delta"]
    calls = [item for item in told[-1]["response"]["output"] if item["type"] == "function_call"]
    return pieces["reasoning"], pieces["output_text"], [(item["name"], item["arguments"]) for item in calls]


DIALECTS: list[tuple[str, dict[str, Any], Callable[[list[dict[str, Any]]], Answer]]] = [
    ("/v1/chat/completions", HI, chat),
    ("/api/chat", HI, ollama),
    ("/v1/messages", {**HI, "max_tokens": 9}, anthropic),
    ("/v1/responses", {"model": "tiny", "input": "Hi", "stream": True, "store": False}, responses),
]


@given(answers())
@example([Delta(job="", tokens=(1,), text="a\u2028b\x85c\u2029")])
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
async def test_every_dialect_tells_all_of_it(deltas: list[Delta]) -> None:
    async with serve(FakeExecutor(deltas)) as served:
        for path, body, read in DIALECTS:
            assert read(await stream(served, path, body)) == said(deltas), path


@given(PIECES)
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
async def test_a_prompt_that_is_only_text_too(pieces: list[str]) -> None:
    async with serve(FakeExecutor(pieces)) as served:
        plain = await stream(served, "/v1/completions", {"prompt": "Hi", "stream": True})
        assert "".join(choice["text"] for one in plain for choice in one["choices"]) == "".join(pieces)
        lines = await stream(served, "/api/generate", {"model": "tiny", "prompt": "Hi"})
        assert "".join(one["response"] for one in lines) == "".join(pieces)
