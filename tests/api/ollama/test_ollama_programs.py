"""What programs ask of the Ollama door, as their sources have it: n8n (n8n-io/n8n, nodes/vendors/Ollama and
LMOllama/description.ts), Cline (cline/cline, ollama.ts and ai-sdk.ollama-wire.test.ts), LlamaIndex's Ollama (recorded)
and JetBrains Koog (JetBrains/koog, OllamaModels.kt and OllamaManagementModels.kt), whose types refuse unknown words."""

from __future__ import annotations

import json
from typing import Any

from fakes.models import TINY
from fakes.served import Served
from msgspec import structs

from mongarsd.ground.job import Delta, ToolCall

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a town",
        "parameters": {
            "type": "object",
            "properties": {"town": {"type": "string"}},
            "required": ["town"],
            "additionalProperties": False,
            "$schema": "http://json-schema.org/draft-07/schema#",
        },
    },
}
CALL = Delta(job="", tokens=(1,), calls=(ToolCall(0, "call_1", "weather", '{"town": "Rome"}'),))
ASK = {"role": "user", "content": "Weather?"}


async def chat(served: Served, **body: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await served.json("POST", "/api/chat", json={"model": "tiny:latest", **body})
    return answer


async def lines(served: Served, **body: Any) -> list[dict[str, Any]]:
    body = {"model": "tiny:latest", "stream": True, **body}
    async with served.client.post(served.url + "/api/chat", json=body) as response:
        assert response.status == 200, await response.text()
        return [json.loads(line) for line in (await response.read()).splitlines()]


async def test_n8n_fills_in_every_option_and_tells_a_tools_result(served: Served) -> None:
    """Each as it stands in the form, of which some belong elsewhere; an answer's message is sent back as it came."""
    (listed,) = (await served.json("GET", "/api/tags"))["models"]
    options = {
        "temperature": 0.8, "top_p": 0.7, "top_k": 40, "num_predict": 1024, "frequency_penalty": 0,
        "presence_penalty": 0, "repeat_penalty": 1.1, "num_ctx": 4096, "repeat_last_n": 64, "min_p": 0, "seed": 0,
        "stop": "", "keep_alive": "5m", "low_vram": False, "main_gpu": 0, "num_batch": 512, "num_gpu": -1,
        "num_thread": 0, "penalize_newline": True, "use_mlock": False, "use_mmap": True, "vocab_only": False,
        "format": "",
    }  # fmt: skip
    asked = {"model": listed["name"], "stream": False, "tools": [WEATHER], "options": options}
    served.executor.deltas = [CALL]
    message = (await chat(served, **asked, messages=[ASK]))["message"]
    (call,) = message["tool_calls"]
    assert call["function"]["arguments"] == {"town": "Rome"}
    served.executor.deltas = ["Sunny."]
    result = {"role": "tool", "content": "Sunny", "tool_name": "weather"}
    last = await chat(served, **asked, messages=[ASK, message, result])
    assert last["message"]["content"] == "Sunny."
    assert {job.stop for job in served.executor.jobs} == {()}


async def test_n8ns_langchain_node_says_minus_1_for_none(served: Served) -> None:
    options = {"top_k": -1, "num_predict": -1, "num_gpu": -1, "num_thread": 0, "top_p": 1, "repeat_penalty": 1}
    await lines(served, messages=[ASK], options=options, keep_alive="5m")
    (job,) = served.executor.jobs
    assert job.max_tokens == served.parts.settings.inference.max_tokens


async def test_cline_looks_for_tools_and_chats(served: Served) -> None:
    (listed,) = (await served.json("GET", "/api/tags"))["models"]
    shown = await served.json("POST", "/api/show", json={"model": listed["name"]})
    assert "tools" in shown["capabilities"]
    served.executor.deltas = [Delta(job="", text="Well. ", tokens=(1,)), CALL]
    turns = [{"role": "system", "content": "You are Cline."}, ASK, {"role": "assistant", "content": ""}, ASK]
    told = await lines(served, messages=turns, options={"num_ctx": 32768}, tools=[WEATHER], tool_choice="auto")
    assert "".join(line["message"]["content"] for line in told) == "Well. "
    assert [call["function"]["name"] for line in told for call in line["message"].get("tool_calls", ())] == ["weather"]
    assert {"prompt_eval_count", "eval_count"} <= set(told[-1])


async def test_llamaindex_calls_tools_and_fills_forms(served: Served) -> None:
    options = {"temperature": None, "num_ctx": 2048, "num_predict": 30}
    served.executor.deltas = [CALL]
    told = await lines(served, messages=[ASK], options=options, tools=[WEATHER])
    assert [call["function"]["arguments"] for line in told for call in line["message"].get("tool_calls", ())] == [
        {"town": "Rome"}
    ]
    served.executor.deltas = ["Sunny."]
    made = {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": {"town": "Rome"}}}]}
    turns = [ASK, made, {"role": "tool", "content": "Sunny"}]
    last = await chat(served, messages=turns, options=options, tools=[WEATHER], stream=False)
    assert last["message"]["content"] == "Sunny."
    schema = {"properties": {"name": {"title": "Name", "type": "string"}}, "required": ["name"], "type": "object"}
    await chat(served, messages=[ASK], options=options, tools=[], stream=False, format={**schema, "title": "Town"})
    assert served.executor.jobs[-1].grammar


async def test_koog_knows_every_word_of_every_model(served: Served) -> None:
    served.models.models["ranker"] = structs.replace(TINY, name="ranker", kind="rerank", capabilities=("rerank",))
    for listed in (await served.json("GET", "/api/tags"))["models"]:
        assert {"name", "model", "size", "modified_at", "digest", "details"} <= set(listed)
        shown = await served.json("POST", "/api/show", json={"name": listed["name"]})
        for details in (listed["details"], shown["details"]):
            assert {"format", "family", "parameter_size"} <= set(details)
        known = {"audio", "completion", "embedding", "insert", "vision", "thinking", "tools"}
        assert set(shown["capabilities"]) <= known
    nulls = {"images": None, "tool_calls": None}
    served.executor.deltas = [CALL]
    answer = await chat(
        served, messages=[{**ASK, **nulls}], tools=[WEATHER], format=None, options=None, stream=False, keep_alive=None
    )
    assert isinstance(answer["message"]["content"], str)
    assert answer["message"]["tool_calls"][0]["function"]["arguments"] == {"town": "Rome"}
