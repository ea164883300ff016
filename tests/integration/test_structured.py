"""Schemas and tool calls on the real model, through the real daemon and the openai library."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import openai
import pytest
from fakes.daemon_process import MODEL, DaemonProcess
from fakes.tool_schemas import SCHEMAS

from mongarsd.inference.cache.disk import scan

from .conftest import real_daemon

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 20},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "unit"],
        },
    },
}
LIGHT = {
    "type": "function",
    "function": {
        "name": "set_light",
        "parameters": {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]},
    },
}
FORMATS = jsonschema.Draft202012Validator.FORMAT_CHECKER
ASK: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
NAMED: Any = {"type": "function", "function": {"name": "get_weather"}}
#: Each run computes its prompt alike. Cells of a longer prompt's tile round otherwise than the prompt read anew.
UNCACHED = {"cache_prompt": False}
#: With tools it has several tiles, which a crowded machine computes in smaller rows, and those round otherwise. It is
#: asked once before: then the same cells are there for all who ask it.
READ: dict[str, Any] = {"extra_body": {}}


def client(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


async def ask(url: str, **fields: Any) -> Any:
    async with client(url) as sdk:
        return await sdk.chat.completions.create(
            **{"model": MODEL, "messages": ASK, "temperature": 0, "extra_body": UNCACHED, **fields}
        )


async def stream(url: str, **fields: Any) -> AsyncIterator[Any]:
    """The choices of all chunks."""
    async with client(url) as sdk:
        chunks = await sdk.chat.completions.create(
            **{"model": MODEL, "messages": ASK, "temperature": 0, "extra_body": UNCACHED, "stream": True, **fields}
        )
        async for chunk in chunks:
            for choice in chunk.choices:
                yield choice


def form(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}


@pytest.fixture(scope="module")
def sixteen(default_model: Path) -> Iterator[str]:
    """The address of a daemon with a slot for each of sixteen streams."""
    knobs = {"MONGARSD_INFERENCE_SLOTS": "16", "MONGARSD_INFERENCE_CONTEXT": "512"}
    with real_daemon(default_model, **knobs) as daemon:
        host, port = daemon.ports[0]
        yield f"http://{host}:{port}"


def short(schema: Any) -> Any:
    """The schema with a limit for each text that has none, so that a talkative model comes to an end."""
    if isinstance(schema, list):
        return [short(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "string" and not {"maxLength", "pattern", "format", "enum"} & set(schema):
        return {**schema, "maxLength": 12}
    return {key: short(value) for key, value in schema.items()}


@pytest.mark.timeout(600)  # 200 answers of some 60 tokens: a minute on 2 cores, more where others compute too
async def test_two_hundred_bound_answers_sixteen_at_a_time_all_valid(sixteen: str) -> None:
    limit = asyncio.Semaphore(16)
    finished: Counter[str] = Counter()
    schemas = {name: short(schema) for name, schema in SCHEMAS.items()}

    async def one(name: str, seed: int) -> None:
        question = [{"role": "user", "content": f"Answer with a very short JSON object: {name}."}]
        fields = {"max_tokens": 160, "temperature": 0.7, "seed": seed, "extra_body": {}}
        async with limit:
            answer = await ask(sixteen, messages=question, response_format=form(schemas[name]), **fields)
        choice = answer.choices[0]
        assert choice.finish_reason in {"stop", "length"}
        if choice.finish_reason == "stop":
            jsonschema.validate(json.loads(choice.message.content), schemas[name], format_checker=FORMATS)
            finished[name] += 1

    async with asyncio.TaskGroup() as group:
        for seed in range(10):
            for name in SCHEMAS:
                group.create_task(one(name, seed))
    assert finished.total() > 100, f"most must end before max_tokens: {finished}"


async def test_json_mode_and_a_grammar(url: str) -> None:
    answer = await ask(url, response_format={"type": "json_object"}, max_tokens=200)
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)
    answer = await ask(url, extra_body={"grammar": 'root ::= "yes" | "no"'})
    assert answer.choices[0].message.content in {"yes", "no"}
    async with client(url) as sdk:
        plain = await sdk.completions.create(
            model=MODEL, prompt="2 + 2 =", extra_body={"json_schema": {"type": "integer", "minimum": 3, "maximum": 5}}
        )
    assert plain.choices[0].text in {"3", "4", "5"}


def weather(call: Any) -> dict[str, Any]:
    assert call.function.name == "get_weather"
    arguments = json.loads(call.function.arguments)
    jsonschema.validate(arguments, WEATHER["function"]["parameters"])
    return arguments  # type: ignore[no-any-return]


@pytest.mark.parametrize("choice", ["required", NAMED])
async def test_a_forced_call_and_the_turn_after_it(url: str, choice: Any) -> None:
    first = (await ask(url, tools=[WEATHER], tool_choice=choice, max_tokens=120)).choices[0]
    assert first.finish_reason == "tool_calls"
    assert first.message.content is None
    (call,) = first.message.tool_calls
    weather(call)
    turns = [
        *ASK,
        first.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "It is 7 degrees and raining."},
    ]
    second = (await ask(url, messages=turns, tools=[WEATHER], tool_choice="none", max_tokens=40)).choices[0]
    assert second.message.content
    assert not second.message.tool_calls


async def test_a_function_is_called_in_openais_old_words(url: str) -> None:
    """`functions`, plain and streamed, and the turn with its result."""
    fields = {"functions": [WEATHER["function"], LIGHT["function"]], "function_call": {"name": "get_weather"}, **READ}
    await ask(url, **fields, max_tokens=1)
    first = (await ask(url, **fields, max_tokens=120)).choices[0]
    assert first.finish_reason == "function_call"
    assert first.message.content is None
    assert first.message.tool_calls is None
    call = first.message.function_call
    assert call.name == "get_weather"
    jsonschema.validate(json.loads(call.arguments), WEATHER["function"]["parameters"])
    names, arguments, reason, pieces = [], "", None, 0
    async for choice in stream(url, **fields, max_tokens=120):
        reason = choice.finish_reason or reason
        assert not choice.delta.content
        if piece := choice.delta.function_call:
            names += [piece.name] if piece.name else []
            arguments += piece.arguments or ""
            pieces += bool(piece.arguments)
    assert (names, arguments, reason) == (["get_weather"], call.arguments, "function_call")
    assert pieces > 3, "as they are written"
    turns = [
        *ASK,
        first.message.model_dump(exclude_none=True),
        {"role": "function", "name": "get_weather", "content": "It is 7 degrees and raining."},
    ]
    fields["function_call"] = "none"
    second = await ask(url, messages=turns, **fields, max_tokens=40)
    assert second.choices[0].message.content
    assert second.choices[0].message.function_call is None
    without = await ask(url, messages=turns[:-1], **fields, max_tokens=40)
    assert second.usage.prompt_tokens > without.usage.prompt_tokens, "the result is in the prompt"
    alone = await ask(url, messages=[*ASK, turns[-1]], **fields, max_tokens=40)
    assert alone.choices[0].message.content, "as Extended OpenAI Conversation sends it"


async def test_a_streamed_call_is_the_plain_one(url: str) -> None:
    fields = {"tools": [WEATHER, LIGHT], "tool_choice": "required", "max_tokens": 120, **READ}
    await ask(url, **fields)
    (plain,) = (await ask(url, **fields)).choices[0].message.tool_calls
    name, arguments, reason, ids, pieces = "", "", None, [], 0
    async for choice in stream(url, **fields):
        reason = choice.finish_reason or reason
        assert not choice.delta.content
        for piece in choice.delta.tool_calls or ():
            assert piece.index == 0
            ids += [piece.id] if piece.id else []
            name += piece.function.name or ""
            arguments += piece.function.arguments or ""
            pieces += bool(piece.function.arguments)
    assert pieces > 3, "as they are written"
    assert (name, arguments) == (plain.function.name, plain.function.arguments)
    assert reason == "tool_calls"
    assert len(ids) == 1


def results(calls: Sequence[Any]) -> list[dict[str, Any]]:
    """The turns after an answer with calls: what it said, and what each call gave."""
    said = [{"id": call.id, "type": "function", "function": call.function.model_dump()} for call in calls]
    told = [
        {"role": "tool", "tool_call_id": call.id, "content": f"{call.function.name}: done, number {number}"}
        for number, call in enumerate(calls)
    ]
    return [*ASK, {"role": "assistant", "content": None, "tool_calls": said}, *told]


async def test_several_calls_at_once_and_the_turn_with_all_their_results(url: str) -> None:
    """Small as the model is, it needs a seed with which it goes on to a second call."""
    fields = {"tools": [WEATHER, LIGHT], "tool_choice": "required", "parallel_tool_calls": True, **READ}
    await ask(url, **fields, max_tokens=1)
    fields["max_tokens"] = 300
    for seed in range(12):
        sampling = {"temperature": 0.8, "seed": seed}
        choice = (await ask(url, **fields, **sampling)).choices[0]
        calls = choice.message.tool_calls
        if choice.finish_reason == "tool_calls" and len(calls) > 1:
            break
    assert choice.finish_reason == "tool_calls"
    assert len({call.id for call in calls}) == len(calls) > 1
    streamed: dict[int, list[str]] = {}
    ids = set()
    async for part in stream(url, **fields, **sampling):
        for piece in part.delta.tool_calls or ():
            ids |= {piece.id} - {None}
            name, arguments = streamed.setdefault(piece.index, ["", ""])
            streamed[piece.index] = [
                name + (piece.function.name or ""),
                arguments + (piece.function.arguments or ""),
            ]
    assert [*streamed] == [*range(len(calls))]
    assert [*streamed.values()] == [[call.function.name, call.function.arguments] for call in calls]
    assert len(ids) == len(calls)
    turns = results(calls)
    told = {"messages": turns, "tools": [WEATHER, LIGHT], "tool_choice": "none", "max_tokens": 40, **READ}
    await ask(url, **told)
    one = await ask(url, **told)
    assert one.choices[0].message.content
    text = ""
    async for part in stream(url, **told):
        text += part.delta.content or ""
    assert text == one.choices[0].message.content
    without = await ask(url, messages=turns[:-1], tools=[WEATHER, LIGHT], tool_choice="none", max_tokens=40)
    assert one.usage.prompt_tokens > without.usage.prompt_tokens, "each result is in the prompt"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools[0].function.name"),
        ({"tools": [LIGHT, LIGHT]}, "tools[0].function.name"),
        ({"tools": [LIGHT], "tool_choice": NAMED}, "tool_choice.function.name"),
        ({"extra_body": {"grammar": "root ::= root"}}, "grammar"),
        ({"extra_body": {"grammar": 'root ::= ("a"{900}){900}'}}, "grammar"),
        ({"functions": [LIGHT["function"]], "tools": [LIGHT]}, "functions"),
        ({"functions": [LIGHT["function"]], "function_call": {"name": "get_weather"}}, "function_call.name"),
        ({"response_format": form({"$ref": "#"})}, "response_format.json_schema.schema"),
    ],
)
async def test_what_cannot_work_is_a_bad_request(url: str, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(url, **fields)
    assert caught.value.param == param


def pids(daemon: DaemonProcess) -> list[int]:
    children = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


@pytest.mark.parametrize("temperature", [0, 0.8])
async def test_a_bound_answer_survives_the_death_of_its_worker(
    daemon: DaemonProcess, url: str, temperature: float
) -> None:
    schema = {"type": "array", "items": {"type": "string", "maxLength": 12}, "minItems": 12, "maxItems": 12}
    sampling = {"temperature": temperature, "seed": 5}
    fields = {"response_format": form(schema), "max_tokens": 400, **sampling}
    whole = (await ask(url, **fields)).choices[0].message.content
    text, killed = "", False
    async for choice in stream(url, **fields):
        text += choice.delta.content or ""
        if len(text) > 40 and not killed:
            killed = True
            for pid in pids(daemon):
                os.kill(pid, signal.SIGKILL)
    assert killed
    jsonschema.validate(json.loads(text), schema)
    assert text == whole


async def test_a_streamed_call_goes_on_after_the_death_of_its_worker(
    daemon: DaemonProcess, url: str, until: Callable[..., None]
) -> None:
    """Its prompt has several tiles, which a crowded machine computes in smaller rows, and those round otherwise. So the
    next worker is left what the first computed, under a beginning that nobody else has."""
    notes = {"type": "array", "items": {"type": "string", "maxLength": 12}, "minItems": 12, "maxItems": 12}
    parameters = {"type": "object", "properties": {"notes": notes}, "required": ["notes"]}
    tool = {"type": "function", "function": {"name": "take_notes", "parameters": parameters}}
    messages = [{"role": "system", "content": "Twelve notes are to be taken."}, *ASK]
    fields = {
        "messages": messages, "tools": [tool], "tool_choice": "required", "max_tokens": 400, "extra_body": {}
    }  # fmt: skip

    def written() -> int:
        return len(list(scan(daemon.state / "cache" / "prefix")))

    before = written()
    answer = await ask(url, **fields)
    (whole,) = answer.choices[0].message.tool_calls
    await asyncio.to_thread(until, lambda: written() >= before + answer.usage.prompt_tokens // 64)
    names, ids, arguments, killed = [], [], "", False
    async for choice in stream(url, **fields):
        for piece in choice.delta.tool_calls or ():
            names += [piece.function.name] if piece.function.name else []
            ids += [piece.id] if piece.id else []
            arguments += piece.function.arguments or ""
        if len(arguments) > 40 and not killed:
            killed = True
            for pid in pids(daemon):
                os.kill(pid, signal.SIGKILL)
    assert killed
    assert (names, len(ids)) == (["take_notes"], 1)
    assert arguments == whole.function.arguments
    jsonschema.validate(json.loads(arguments), parameters)
