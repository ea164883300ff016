"""What editors ask of the Ollama door, as their sources have it: microsoft/vscode-copilot-chat (ollamaProvider.ts),
zed-industries/zed (crates/ollama), RooCodeInc/Roo-Code (fetchers/ollama.ts) and continuedev/continue (Ollama.ts)."""

from __future__ import annotations

import json
import re
from typing import Any

from fakes.models import TINY
from fakes.served import Served
from msgspec import structs

from mongarsd.ground.job import Delta, ToolCall
from mongarsd.ground.preset import Preset

READ = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Of the project",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    },
}
CALLS = [
    Delta(job="", tokens=(1,), calls=(ToolCall(0, "call_1", "read_file", '{"path": "'),)),
    Delta(job="", tokens=(2,), calls=(ToolCall(0, arguments='a.py"}'),)),
]


async def lines(served: Served, path: str, body: dict[str, Any]) -> list[bytes]:
    async with served.client.post(served.url + path, json=body) as response:
        assert response.status == 200, await response.text()
        return [line for line in (await response.read()).splitlines() if line]


async def test_vs_code_finds_a_model_with_its_name_and_room_and_calls_its_tools(served: Served) -> None:
    version = (await served.json("GET", "/api/version"))["version"]
    assert [int(part) for part in version.split(".")] >= [0, 6, 4]
    (listed,) = (await served.json("GET", "/api/tags"))["models"]
    shown = await served.json("POST", "/api/show", json={"model": listed["model"]})
    info = shown["model_info"]
    assert info["general.basename"] == "tiny"
    assert info[f"{info['general.architecture']}.context_length"] == 2048
    assert "tools" in shown["capabilities"]
    served.executor.deltas = CALLS
    body = {
        "model": listed["model"],
        "messages": [
            {"role": "system", "content": "You are an assistant."},
            {"role": "user", "content": [{"type": "text", "text": "Look"}], "name": "user"},
        ],
        "tools": [READ],
        "tool_choice": "auto",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.1,
        "top_p": 1,
        "n": 1,
        "max_tokens": 1024,
        "snippy": {"enabled": False},
        "intent": False,
    }
    data = [line.removeprefix(b"data: ") for line in await lines(served, "/v1/chat/completions", body)]
    assert data[-1] == b"[DONE]"
    deltas = [json.loads(one)["choices"][0]["delta"] for one in data[:-1] if json.loads(one)["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert "".join(call["function"]["arguments"] for call in calls) == '{"path": "a.py"}'


async def test_the_room_that_is_told_is_that_of_the_context_which_is_loaded(served: Served) -> None:
    served.models.models["tiny"] = structs.replace(TINY, state="ready", context=1024)
    info = (await served.json("POST", "/api/show", json={"model": "tiny"}))["model_info"]
    assert info["llama.context_length"] == 1024


async def test_zed_reads_every_line_and_sends_its_nulls(served: Served) -> None:
    (listed,) = (await served.json("GET", "/api/tags", headers={"Accept": "application/json"}))["models"]
    assert {"name", "modified_at", "size", "digest", "details"} <= set(listed)
    assert {"format", "family", "families", "parameter_size", "quantization_level"} <= set(listed["details"])
    served.executor.deltas = CALLS
    call = {"id": "call_0", "function": {"name": "read_file", "arguments": {"path": "b.py"}}}
    body = {
        "model": listed["name"],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Look"},
            {"role": "assistant", "content": "", "tool_calls": [call], "thinking": None},
            {"role": "tool", "tool_name": "read_file", "content": "x = 1"},
        ],
        "stream": True,
        "keep_alive": -1,
        "options": {"num_ctx": 2048, "num_predict": None, "stop": [], "temperature": None, "top_p": None},
        "tools": [READ],
        "think": None,
    }
    told = [json.loads(line) for line in await lines(served, "/api/chat", body)]
    for line in told:
        assert {"model", "created_at", "message", "done"} <= set(line)
        assert line["message"]["role"] == "assistant"
        assert isinstance(line["message"]["content"], str)
    (made,) = [one for line in told for one in line["message"].get("tool_calls", ())]
    assert (made["function"]["name"], made["function"]["arguments"]) == ("read_file", {"path": "a.py"})
    assert told[-1]["done"]


async def test_roo_code_takes_a_model_that_has_tools_and_a_context(served: Served) -> None:
    (listed,) = (await served.json("GET", "/api/tags"))["models"]
    assert {"details", "model", "name"} <= set(listed)
    shown = await served.json("POST", "/api/show", json={"model": listed["model"]})
    room = [value for name, value in shown["model_info"].items() if "context_length" in name]
    assert room == [2048]
    assert "tools" in shown["capabilities"]
    assert {"family", "parameter_size"} <= set(shown["details"])


async def test_continue_can_read_the_parameters_and_asks_without_a_stream(served: Served) -> None:
    preset = Preset(model=TINY.digest, sampling={"temperature": 0.1}, stop=("x y",), max_tokens=9)
    served.models.models["mario"] = structs.replace(TINY, name="mario", preset=preset)
    shown = await served.json("POST", "/api/show", json={"name": "mario"})
    parsed = [re.fullmatch(r'(\S+)\s+(".*"|\S+)', line) for line in shown["parameters"].split("\n")]
    assert [one and one[1] for one in parsed] == ["num_predict", "stop", "temperature"]
    body = {
        "model": "mario",
        "messages": [{"role": "user", "content": "Hi"}],
        "options": {"num_predict": 512, "num_ctx": 4096, "stop": ["<|end|>"], "use_mmap": True},
        "keep_alive": 1800,
        "stream": False,
        "tools": [READ],
    }
    (answer,) = await lines(served, "/api/chat", body)
    assert json.loads(answer)["message"]["content"] == "Hello, world"
