"""What programs over OpenAI's API ask, as their sources have it: Extended OpenAI Conversation
(jekalmin/extended_openai_conversation) and OpenAI Conversation (home-assistant/core) for Home Assistant, and plugins of
Obsidian, whose pages come from `app://obsidian.md`."""

from __future__ import annotations

import json
from typing import Any

from fakes.served import Served, serve

from mongarsd.ground.job import Delta, ToolCall

PARAMETERS = {"type": "object", "properties": {"list": {"type": "array", "items": {"type": "object"}}}}
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
