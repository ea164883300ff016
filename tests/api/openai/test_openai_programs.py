"""What programs over OpenAI's API ask, as their sources have it: Extended OpenAI Conversation
(jekalmin/extended_openai_conversation) and OpenAI Conversation (home-assistant/core) for Home Assistant, Cline
(cline/cline, openai.ts), LibreChat (danny-avila/LibreChat, models.ts and llm.ts), LlamaIndex's OpenAILike (recorded),
and plugins of Obsidian, whose pages come from `app://obsidian.md`."""

from __future__ import annotations

import json
from typing import Any

from fakes.served import Served, serve
from fakes.sse import events

from mongarsd.ground.job import Delta, ToolCall

PARAMETERS = {"type": "object", "properties": {"list": {"type": "array", "items": {"type": "object"}}}}
#: Of an MCP server: no grammar can promise all of it, nor does OpenAI take it with `strict`.
MCP = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "path": {"type": "string", "not": {"const": "/"}},
    },
    "required": ["tags"],
}
CALL = Delta(job="", tokens=(1,), calls=(ToolCall(0, "call_1", "execute_services", '{"list": []}'),))


async def test_extended_openai_conversation_calls_services_with_use_tools(served: Served) -> None:
    assert (await served.json("GET", "/v1/models", headers={"Authorization": "Bearer sk-none"}))["data"]
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You are the manager of a home."},
        {"role": "user", "content": "Light", "name": "ana"},
    ]
    asked = {
        "tools": [{"type": "function", "function": {"name": "execute_services", "parameters": PARAMETERS}}],
        "tool_choice": "auto",
        "max_tokens": 150,
        "top_p": 1,
        "temperature": 0.5,
        "user": "01J",
    }
    served.executor.deltas = [CALL]
    (choice,) = (await served.chat(messages=messages, **asked))["choices"]
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    served.executor.deltas = ["Done"]
    result = {"tool_call_id": call["id"], "role": "tool", "name": "execute_services", "content": "[{'success': True}]"}
    last = await served.chat(messages=[*messages, choice["message"], result], **asked)
    assert last["choices"][0]["message"]["content"] == "Done"


async def test_extended_openai_conversation_calls_services_with_functions(served: Served) -> None:
    """Its default. It leaves the call out of what it sends back, and asks for words in the end."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You are the manager of a home."},
        {"role": "user", "content": "Light"},
    ]
    spec = {"name": "execute_services", "description": "Use it to act.", "parameters": PARAMETERS}
    asked = {"functions": [spec], "max_tokens": 150, "top_p": 1, "temperature": 0.5, "user": "01J"}
    served.executor.deltas = [CALL]
    (choice,) = (await served.chat(messages=messages, **asked, function_call="auto"))["choices"]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "execute_services", "arguments": '{"list": []}'}
    served.executor.deltas = ["Done"]
    messages.append({"role": "function", "name": "execute_services", "content": "[{'success': True}]"})
    last = (await served.chat(messages=messages, **asked, function_call="none"))["choices"][0]
    assert (last["message"]["content"], last["finish_reason"]) == ("Done", "stop")


async def test_openai_conversation_over_responses_with_a_base_url(served: Served) -> None:
    body = {
        "model": "tiny",
        "input": [
            {"type": "message", "role": "developer", "content": "You are a voice assistant."},
            {"type": "message", "role": "user", "content": "Light"},
        ],
        "tools": [
            {
                "type": "function",
                "name": "execute_services",
                "parameters": PARAMETERS,
                "description": None,
                "strict": False,
            }
        ],
        "max_output_tokens": 1000,
        "user": "01J",
        "store": False,
        "stream": True,
        "service_tier": "auto",
        "prompt_cache_key": "01J",
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "text": {"verbosity": "medium"},
        "temperature": 1.0,
        "top_p": 1.0,
    }
    served.executor.deltas = [CALL]
    calls = await _output(served, body)
    assert [one["type"] for one in calls] == ["function_call"]
    result = {"type": "function_call_output", "call_id": calls[0]["call_id"], "output": '{"success": true}'}
    served.executor.deltas = ["Done"]
    (message,) = await _output(served, {**body, "input": [*body["input"], *calls, result]})
    assert message["content"][0]["text"] == "Done"


async def test_cline_reads_the_stream_and_sends_its_turns_in_parts(served: Served) -> None:
    call = {"id": "call_0", "type": "function", "function": {"name": "execute_services", "arguments": '{"list": []}'}}
    body = {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "You are Cline."},
            {"role": "user", "content": [{"type": "text", "text": "Light"}, {"type": "text", "text": "<environment>"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_0", "content": "[execute_services] Result: done"},
            {"role": "user", "content": []},
        ],
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [
            {"type": "function", "function": {"name": "execute_services", "strict": True, "parameters": PARAMETERS}},
            {"type": "function", "function": {"name": "c1a2b3__tag", "strict": True, "parameters": MCP}},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
    }
    served.executor.deltas = [Delta(job="", text="Well. ", tokens=(1,)), CALL]
    chunks = await _chunks(served, body)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Well. "
    pieces = [piece for delta in deltas for piece in delta.get("tool_calls", ())]
    assert [(one["id"], one["function"]["name"]) for one in pieces if "id" in one] == [("call_1", "execute_services")]
    assert "".join(one["function"]["arguments"] for one in pieces) == '{"list": []}'
    assert chunks[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    bound = served.executor.jobs[0].tools[1]["function"]["parameters"]
    assert bound["properties"] == {"tags": {"type": "array", "items": {"type": "string"}}, "path": {"type": "string"}}
    assert bound["required"] == ["tags"]


async def test_librechat_lists_models_and_streams(served: Served) -> None:
    headers = {"Authorization": "Bearer sk-none"}
    assert [one["id"] for one in (await served.json("GET", "/v1/models?user=1", headers=headers))["data"]] == ["tiny"]
    body = {
        "model": "tiny",
        "messages": [{"role": "system", "content": ""}, {"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "n": 1,
        "stop": [],
        "user": "6650",
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "max_tokens": -1,
        "logit_bias": {},
    }
    chunks = await _chunks(served, body)
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in chunks if one["choices"]) == "Hello, world"
    assert served.executor.jobs[0].max_tokens == served.parts.settings.inference.max_tokens


async def test_llamaindex_calls_a_tool_and_tells_its_result(served: Served) -> None:
    function = {"name": "weather", "description": "weather(town: str) -> str", "strict": False}
    schema = {
        "properties": {"town": {"title": "Town", "type": "string"}},
        "required": ["town"],
        "type": "object",
        "additionalProperties": False,
    }
    asked: dict[str, Any] = {
        "max_tokens": 30,
        "parallel_tool_calls": False,
        "temperature": 0.1,
        "tools": [{"type": "function", "function": {**function, "parameters": schema}}],
    }
    question = {"role": "user", "content": "Weather?"}
    made = ToolCall(0, "call_1", "weather", '{"town": "Rome"}')
    served.executor.deltas = [Delta(job="", tokens=(1,), calls=(made,))]
    body = {"model": "tiny", "messages": [question], **asked, "tool_choice": "required", "stream": True}
    pieces = [one["choices"][0]["delta"].get("tool_calls", [{}])[0] for one in await _chunks(served, body)]
    assert [one["id"] for one in pieces if "id" in one] == ["call_1"]
    served.executor.deltas = ["Sunny."]
    call = {"type": "function", "function": {"name": "weather", "arguments": '{"town": "Rome"}'}, "id": "call_1"}
    turns = [
        question,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "Sunny", "tool_call_id": "call_1"},
    ]
    last = await served.chat(messages=turns, **asked, tool_choice="auto", stream=False)
    assert last["choices"][0]["message"]["content"] == "Sunny."


async def test_obsidian_may_ask_once_its_origin_is_allowed(served: Served) -> None:
    headers = {"Origin": "app://obsidian.md"}
    asks = {**headers, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    await served.json("GET", "/v1/models", 403, headers=headers)
    async with serve(allowed_origins=("app://obsidian.md",)) as open_to_it:
        async with open_to_it.client.options(open_to_it.url + "/api/chat", headers=asks) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == "app://obsidian.md"
        assert (await open_to_it.json("GET", "/api/tags", headers=headers))["models"]


async def _output(served: Served, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the response that the last event tells."""
    async with served.client.post(served.url + "/v1/responses", json=body) as response:
        assert response.status == 200, await response.text()
        last = (await response.text()).strip().rpartition("\ndata: ")[2]
    told: list[dict[str, Any]] = json.loads(last)["response"]["output"]
    return told


async def _chunks(served: Served, body: dict[str, Any]) -> list[dict[str, Any]]:
    async with served.client.post(served.url + "/v1/chat/completions", json=body) as response:
        assert response.status == 200, await response.text()
        *chunks, done = events(await response.read())
    assert done == "[DONE]"
    return chunks
