"""Stored chat completions with the real openai library."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from fakes.served import Served
from msgspec import structs

from mongarsd.ground.job import Delta, ToolCall
from mongarsd.ground.preset import Preset
from mongarsd.memory.room import Memory

GONE = "chatcmpl-0"


def library(served: Served) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=served.url + "/v1", api_key="none", max_retries=0)


def turn(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


async def test_an_answer_is_found_again_as_it_was(keeping: Served) -> None:
    async with library(keeping) as api:
        first = await api.chat.completions.create(
            model="tiny", messages=turn("Hi"), store=True, metadata={"room": "kitchen"}
        )
        again = await api.chat.completions.retrieve(first.id)
        assert (again.object, again.id, again.created, again.model) == (
            "chat.completion", first.id, first.created, first.model,
        )  # fmt: skip
        assert (again.choices, again.usage, again.metadata) == (first.choices, first.usage, {"room": "kitchen"})
        messages = await api.chat.completions.messages.list(first.id)
        assert [(one.role, one.content) for one in messages.data] == [("user", "Hi")]
        changed = await api.chat.completions.update(first.id, metadata={"room": "cellar"})
        assert (changed.id, changed.metadata) == (first.id, {"room": "cellar"})
        assert (await api.chat.completions.update(first.id, metadata=None)).metadata == {}


async def test_a_streamed_answer_with_calls_and_reasoning_is_found_again(keeping: Served) -> None:
    keeping.executor.deltas = [
        Delta(job="", tokens=(1,), reasoning="Hm."),
        Delta(
            job="", tokens=(2,), calls=(ToolCall(0, "call_1", "weather", '{"town": '), ToolCall(0, arguments='"Rome"}'))
        ),
    ]
    said = {"id": "c0", "type": "function", "function": {"name": "weather", "arguments": '{"town": "Oslo"}'}}
    messages: list[Any] = [
        *turn("Weather?"),
        {"role": "assistant", "tool_calls": [said]},
        {"role": "tool", "tool_call_id": "c0", "content": "Rain"},
    ]
    async with library(keeping) as api:
        stream = await api.chat.completions.create(model="tiny", messages=messages, store=True, stream=True)
        (name,) = {chunk.id async for chunk in stream}
        (choice,) = (await api.chat.completions.retrieve(name)).choices
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
        assert choice.message.model_extra == {"reasoning_content": "Hm."}
        (call,) = choice.message.tool_calls or ()
        assert call.type == "function"
        assert (call.id, call.function.name, call.function.arguments) == ("call_1", "weather", '{"town": "Rome"}')
        listed = [one async for one in api.chat.completions.messages.list(name, limit=1)]
        assert [one.role for one in listed] == ["user", "assistant", "tool"]
        (asked,) = listed[1].tool_calls or ()
        assert asked.type == "function"
        assert asked.function.arguments == '{"town":"Oslo"}'


async def test_stored_answers_are_listed(keeping: Served) -> None:
    async with library(keeping) as api:
        names = []
        for n in range(3):
            one = await api.chat.completions.create(
                model="tiny", messages=turn(str(n)), store=True, metadata={"n": str(n), "all": "yes"}
            )
            names.append(one.id)
        await api.chat.completions.create(model="tiny", messages=turn("x"))
        await api.responses.create(model="tiny", input="x")
        assert [one.id async for one in api.chat.completions.list(limit=2)] == names
        assert [one.id async for one in api.chat.completions.list(limit=1, order="desc")] == names[::-1]
        assert [one.id async for one in api.chat.completions.list(model="tiny", after=names[1])] == names[2:]
        assert [one.id async for one in api.chat.completions.list(metadata={"n": "1", "all": "yes"})] == [names[1]]
        assert [one.id async for one in api.chat.completions.list(model="other")] == []


async def test_what_was_deleted_is_gone(keeping: Served, memory: Memory) -> None:
    async with library(keeping) as api:
        first = await api.chat.completions.create(model="tiny", messages=turn("What is a xylophone?"), store=True)
        deleted = await api.chat.completions.delete(first.id)
        assert (deleted.id, deleted.object, deleted.deleted) == (first.id, "chat.completion.deleted", True)
        with pytest.raises(openai.NotFoundError, match=first.id):
            await api.chat.completions.retrieve(first.id)
    assert not (await memory.conversations.list("local")).items
    assert not await memory.conversations.search("local", "xylophone")


async def test_without_store_nothing_is_found(keeping: Served) -> None:
    async with library(keeping) as api:
        calls = api.chat.completions
        answer = await calls.create(model="tiny", messages=turn("Hi"))
        for name in (answer.id, GONE):
            for work in (
                calls.retrieve(name),
                calls.update(name, metadata={}),
                calls.delete(name),
                calls.messages.list(name),
            ):
                with pytest.raises(openai.NotFoundError):
                    await work  # type: ignore[misc]
        with pytest.raises(openai.NotFoundError):
            await calls.list(after=GONE)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("order=up", "order"),
        ("&".join(f"metadata[{n}]=x" for n in range(17)), "metadata"),
    ],
)
async def test_queries_that_mean_nothing_are_refused(keeping: Served, query: str, param: str) -> None:
    refused = await keeping.json("GET", f"/v1/chat/completions?{query}", 400)
    assert refused["error"]["param"] == param


async def test_metadata_is_required_where_it_is_all_that_can_be_changed(keeping: Served) -> None:
    refused = await keeping.json("POST", f"/v1/chat/completions/{GONE}", 400, json={})
    assert "metadata" in refused["error"]["message"]
    await keeping.json("POST", f"/v1/chat/completions/{GONE}", 400, json={"metadata": {"a": 1}})


@pytest.mark.parametrize("stream", [False, True])
async def test_log_probabilities_are_found_again(keeping: Served, stream: bool) -> None:
    async with library(keeping) as api:
        asked: dict[str, Any] = {"model": "tiny", "messages": turn("Hi"), "store": True, "top_logprobs": 2}
        told = await api.chat.completions.create(**asked, logprobs=True)
        name = told.id
        if stream:
            parts = await api.chat.completions.create(**asked, logprobs=True, stream=True)
            (name,) = {part.id async for part in parts}
        (found,) = (await api.chat.completions.retrieve(name)).choices
        assert found == told.choices[0]
        assert found.logprobs
        assert found.logprobs.content


async def test_what_a_preset_adds_is_not_stored(keeping: Served) -> None:
    tiny = keeping.models.models["tiny"]
    preset = Preset(model=tiny.digest, system="You are Mario.")
    keeping.models.models["mario"] = structs.replace(tiny, name="mario", preset=preset)
    async with library(keeping) as api:
        first = await api.chat.completions.create(model="mario", messages=turn("Hi"), store=True)
        messages = await api.chat.completions.messages.list(first.id)
        assert [one.role for one in messages.data] == ["user"]
    assert [one.role for one in keeping.executor.jobs[0].messages or ()] == ["system", "user"]


async def test_messages_are_found_in_the_roles_they_were_sent_in(keeping: Served) -> None:
    asked: list[Any] = [{"role": "developer", "content": "Be brief."}, *turn("Hi")]
    async with library(keeping) as api:
        first = await api.chat.completions.create(model="tiny", messages=asked, store=True)
        messages = await api.chat.completions.messages.list(first.id)
        assert [(one.role, one.content) for one in messages.data] == [("developer", "Be brief."), ("user", "Hi")]
        conversation = ((await api.chat.completions.retrieve(first.id)).model_extra or {})["conversation_id"]
        items = await api.conversations.items.list(conversation, order="asc")
        assert [one.role for one in items.data if one.type == "message"] == ["developer", "user", "assistant"]
    assert [one.role for one in keeping.executor.jobs[0].messages or ()] == ["system", "user"]  # as templates know it
