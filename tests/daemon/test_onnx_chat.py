"""An ONNX chat model from its folder to an answer, through the real daemon, its worker and HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fakes.daemon_process import DaemonProcess
from fakes.tiny_decoder import CONTEXT, WORDS, greedy, scatter, write_decoder, written

from mongarsd.inference.models.store import ModelStore


def write_caller(folder: Path) -> None:
    """The same model, whose template and two words are those of models that call tools."""
    write_decoder(folder)
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"H":', '"<tool_call>":').replace('"U":', '"</tool_call>":'))
    template = folder / "chat_template.jinja"
    template.write_text("{% if tools %}<tool_call>{% endif %}" + template.read_text())


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    folder = Path(tempfile.mkdtemp(prefix="m"))  # short: a Unix socket's path has at most 107 bytes
    write_decoder(folder / "tiny")
    scatter(write_decoder(folder / "apart"))
    write_caller(folder / "caller")

    async def pull() -> None:
        store = ModelStore(folder / "s", offline=True)
        for name in ("tiny", "apart", "caller"):
            async for _ in store.pull(f"file:{folder / name}"):
                pass
        model = store.resolve("tiny")
        assert (model.format, model.kind, model.context_length) == ("onnx", "chat", CONTEXT)
        assert set(model.files) == {"tokenizer", "tokens", "config", "generation", "template"}
        await store.close()

    daemon = None
    try:
        asyncio.run(pull())
        env = {"MONGARSD_MODELS_DEFAULT": "tiny"}
        daemon = DaemonProcess(folder, fake=False, state="s", env=env)
        yield daemon
    finally:
        if daemon:
            daemon.close()
        shutil.rmtree(folder)


def post(daemon: DaemonProcess, **fields: Any) -> tuple[int, Any]:
    connection = daemon.connect()
    body = {"model": "tiny", "temperature": 0, "max_tokens": 30, **fields}
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@pytest.mark.parametrize("model", ["tiny", "apart"])
def test_an_answer_is_what_numpy_says(daemon: DaemonProcess, model: str) -> None:
    status, body = post(daemon, model=model, prompt="the end")
    assert status == 200, body
    said = greedy([WORDS.index(letter) for letter in "the end"], 30)
    assert body["choices"][0]["text"] == written(said)


SCHEMA = {
    "type": "object",
    "properties": {
        "names": {"type": "array", "items": {"type": "string", "maxLength": 6}, "minItems": 8, "maxItems": 8},
        "unit": {"enum": ["ab", "é"]},
    },
    "required": ["names", "unit"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "take", "parameters": SCHEMA}}
OTHER = {"type": "function", "function": {"name": "end", "parameters": {"type": "object", "properties": {}}}}
FORM = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}
#: The tiny model means nothing, and says its texts at random. Its logits lie tens apart: only a bias of as much counts.
SAMPLING = {"temperature": 1.0, "seed": 3, "max_tokens": 400, "cache_prompt": False}


def chat(daemon: DaemonProcess, **fields: Any) -> tuple[int, Any]:
    ask = [{"role": "user", "content": "go"}]
    status, body = daemon.post("/v1/chat/completions", {"model": "tiny", "messages": ask, **SAMPLING, **fields})
    return status, json.loads(body)


def stream(daemon: DaemonProcess, **fields: Any) -> Iterator[Any]:
    """The choices of all chunks."""
    ask = [{"role": "user", "content": "go"}]
    body = {"model": "tiny", "messages": ask, "stream": True, **SAMPLING, **fields}
    connection = daemon.connect()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    for line in response:
        if line.startswith(b"data: {"):
            yield from json.loads(line.removeprefix(b"data: "))["choices"]


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_a_schema_binds_the_answer(daemon: DaemonProcess, temperature: float) -> None:
    status, body = chat(daemon, response_format=FORM, temperature=temperature)
    assert status == 200, body
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "stop"
    jsonschema.validate(json.loads(choice["message"]["content"]), SCHEMA)
    streamed = stream(daemon, response_format=FORM, temperature=temperature)
    assert "".join(part["delta"].get("content") or "" for part in streamed) == choice["message"]["content"]


def test_json_mode_and_a_grammar(daemon: DaemonProcess) -> None:
    status, body = chat(daemon, response_format={"type": "json_object"}, max_tokens=500)
    assert status == 200, body
    (choice,) = body["choices"]
    assert choice["message"]["content"].startswith("{")
    if choice["finish_reason"] == "stop":
        assert isinstance(json.loads(choice["message"]["content"]), dict)
    status, body = post(daemon, prompt="ab", grammar='root ::= "no" | "é"')
    assert status == 200, body
    assert body["choices"][0]["text"] in {"no", "é"}
    status, body = post(daemon, prompt="ab", grammar='root ::= ("a" | "a")*')
    assert (status, body["error"]["param"]) == (400, "grammar")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "take"}}])
def test_a_forced_call_streamed_and_not(daemon: DaemonProcess, choice: Any) -> None:
    fields = {"tools": [TOOL, OTHER], "tool_choice": choice, "parallel_tool_calls": False}
    status, body = chat(daemon, **fields)
    assert status == 200, body
    (answer,) = body["choices"]
    assert answer["finish_reason"] == "tool_calls"
    (call,) = answer["message"]["tool_calls"]
    arguments = json.loads(call["function"]["arguments"])
    jsonschema.validate(arguments, SCHEMA if call["function"]["name"] == "take" else {"type": "object"})
    name = text = ""
    for part in stream(daemon, **fields):
        for piece in part["delta"].get("tool_calls") or ():
            name += piece["function"].get("name") or ""
            text += piece["function"].get("arguments") or ""
    assert (name, text) == (call["function"]["name"], call["function"]["arguments"])


def whole(parts: Iterator[Any]) -> tuple[str, list[tuple[str, str]]]:
    """The content, and each call's name and arguments."""
    content, calls = "", dict[int, tuple[str, str]]()
    for part in parts:
        content += part["delta"].get("content") or ""
        for piece in part["delta"].get("tool_calls") or ():
            name, text = calls.get(piece["index"], ("", ""))
            more = piece["function"]
            calls[piece["index"]] = (name + (more.get("name") or ""), text + (more.get("arguments") or ""))
    assert [*calls] == [*range(len(calls))]
    return content, [*calls.values()]


def named(message: Any) -> list[tuple[str, str]]:
    return [(call["function"]["name"], call["function"]["arguments"]) for call in message["tool_calls"]]


def test_several_calls_in_one_answer(daemon: DaemonProcess) -> None:
    fields = {"tools": [TOOL, OTHER], "tool_choice": "required", "parallel_tool_calls": True, "max_tokens": 700}
    fields |= {"logit_bias": {str(WORDS.index("\n")): 30, str(WORDS.index("<|im_end|>")): -30}}
    for word in "abcdefghijklmnop":
        fields["messages"] = [{"role": "user", "content": word}]
        status, body = chat(daemon, **fields)
        assert status == 200, body
        (answer,) = body["choices"]
        if answer["finish_reason"] == "tool_calls" and len(answer["message"]["tool_calls"]) > 1:
            break
    calls = named(answer["message"])
    assert len({call["id"] for call in answer["message"]["tool_calls"]}) == len(calls) > 1
    for name, arguments in calls:
        jsonschema.validate(json.loads(arguments), SCHEMA if name == "take" else {"type": "object"})
    assert whole(stream(daemon, **fields)) == ("", calls)


def test_a_call_that_the_model_begins_itself_is_bound_from_there(daemon: DaemonProcess) -> None:
    bias = {str(WORDS.index("H")): 30, str(WORDS.index("<|im_end|>")): -30}
    fields = {"model": "caller", "tools": [TOOL, OTHER], "logit_bias": bias, "max_tokens": 700}
    for word in "abcdefghijklmnop":
        fields["messages"] = [{"role": "user", "content": word}]
        status, body = chat(daemon, **fields)
        assert status == 200, body
        (answer,) = body["choices"]
        if answer["finish_reason"] == "tool_calls" and answer["message"]["content"]:
            break
    content, calls = answer["message"]["content"], named(answer["message"])
    assert content
    for name, arguments in calls:
        jsonschema.validate(json.loads(arguments), SCHEMA if name == "take" else {"type": "object"})
    assert whole(stream(daemon, **fields)) == (content, calls)


def test_a_bound_answer_survives_the_death_of_its_worker(daemon: DaemonProcess) -> None:
    names = {"type": "array", "items": {"type": "string", "maxLength": 40}, "minItems": 12, "maxItems": 12}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": names}}
    status, body = chat(daemon, response_format=form)
    assert status == 200, body
    text, killed = "", False
    for part in stream(daemon, response_format=form):
        text += part["delta"].get("content") or ""
        if len(text) > 20 and not killed:
            killed = True
            children = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()
            for pid in children:
                os.kill(int(pid), signal.SIGKILL)
    assert killed
    assert text == body["choices"][0]["message"]["content"]


def test_status_says_what_computes_it_and_why(daemon: DaemonProcess) -> None:
    assert post(daemon, prompt="ab")[0] == 200
    (found,) = (model for model in daemon.admin("/admin/status")["models"] if model["name"] == "tiny")
    assert "CPUExecutionProvider: this build of onnxruntime offers no other" in found["computes"]
