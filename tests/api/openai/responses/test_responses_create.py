from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakes.served import Served

from mongarsd.api.openai.logprobs import NEVER
from mongarsd.ground.errors import ErrorInfo
from mongarsd.ground.job import Delta, FinishReason, TokenLogprob, ToolCall
from mongarsd.memory.documents.types import NewEntry
from mongarsd.memory.room import Memory

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Of a town",
    "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
}


async def respond(served: Served, status: int = 200, **fields: Any) -> Any:
    body = {"model": "tiny", "input": "Hi", **fields}
    return await served.json("POST", "/v1/responses", status, json=body)


async def streamed(served: Served, **fields: Any) -> list[dict[str, Any]]:
    body = {"model": "tiny", "input": "Hi", "stream": True, **fields}
    async with served.client.post(served.url + "/v1/responses", json=body) as response:
        assert response.status == 200, await response.text()
        return events_of(await response.text())


def events_of(text: str) -> list[dict[str, Any]]:
    events = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


async def test_a_text_is_answered_and_the_answer_kept(keeping: Served, memory: Memory) -> None:
    answer = await respond(keeping, instructions="Be brief.", metadata={"a": "b"}, temperature=0.5)
    (message,) = answer["output"]
    assert message["content"][0]["text"] == "Hello, world"
    assert (answer["status"], answer["instructions"], answer["store"]) == ("completed", "Be brief.", True)
    assert (answer["temperature"], answer["metadata"]) == (0.5, {"a": "b"})
    assert answer["usage"]["total_tokens"] == 10
    (job,) = keeping.executor.jobs
    assert [(one.role, one.content) for one in job.messages or ()] == [("system", "Be brief."), ("user", "Hi")]
    again = await keeping.json("GET", f"/v1/responses/{answer['id']}")
    assert again == answer
    (conversation,) = (await memory.conversations.list("local")).items
    assert (conversation.title, conversation.turns) == ("Hi", 2)
    assert (answer["conversation_id"], answer["conversation"]) == (conversation.id, None)


async def test_log_probabilities_are_found_again_where_they_were_asked_for(keeping: Served) -> None:
    never = TokenLogprob(1, b"\xf0", float("-inf"), ((2, b"a", float("-inf")),))
    keeping.executor.deltas = [Delta(job="", tokens=(1,), text="Hello", logprobs=(never,))]
    asked = {"include": ["message.output_text.logprobs"], "top_logprobs": 1}
    answer = await respond(keeping, **asked)
    (told,) = answer["output"][0]["content"][0]["logprobs"]
    assert (told["logprob"], told["bytes"], told["top_logprobs"][0]["token"]) == (NEVER, [0xF0], "a")
    assert await keeping.json("GET", f"/v1/responses/{answer['id']}") == answer
    streaming = (await streamed(keeping, **asked))[-1]["response"]
    assert streaming["output"][0]["content"] == answer["output"][0]["content"]
    assert await keeping.json("GET", f"/v1/responses/{streaming['id']}") == streaming
    items = f"/v1/conversations/{answer['conversation_id']}/items"
    (item, _) = (await keeping.json("GET", items))["data"]
    assert item["content"][0]["logprobs"] == []
    (item, _) = (await keeping.json("GET", items + "?include[]=message.output_text.logprobs"))["data"]
    assert item == answer["output"][0]


async def test_log_probabilities_go_with_their_words(keeping: Served, memory: Memory) -> None:
    known = TokenLogprob(1, b"Hello", -0.5)
    keeping.executor.deltas = [Delta(job="", tokens=(1,), text="Hello", reasoning="Hm", logprobs=(known,))]
    answer = await respond(keeping, top_logprobs=0)
    conversation = answer["conversation_id"]
    await keeping.json("DELETE", f"/v1/conversations/{conversation}/items/{answer['output'][1]['id']}")
    turn = (await memory.conversations.turns("local", conversation)).items[-1]
    assert (turn.content, turn.details.reasoning, turn.details.logprobs) == ("", "Hm", ())


async def test_a_stream_tells_the_same_response(keeping: Served) -> None:
    events = await streamed(keeping)
    assert [one["type"] for one in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [one["sequence_number"] for one in events] == list(range(len(events)))
    whole = events[-1]["response"]
    assert "conversation_id" not in events[0]["response"]
    assert (await keeping.json("GET", f"/v1/conversations/{whole['conversation_id']}"))["turns"] == 2
    assert await keeping.json("GET", f"/v1/responses/{whole['id']}") == whole
    assert whole["output"] == [events[-2]["item"]]


async def test_what_follows_is_told_exactly_what_was_said(keeping: Served) -> None:
    items: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "input_text", "text": "Tell me "}, {"type": "input_text", "text": "a"}]}
    ]
    first = await respond(keeping, input=items)
    second = await respond(keeping, input="more", previous_response_id=first["id"])
    await respond(keeping, input=[*items, *first["output"], {"role": "user", "content": "more"}])
    followed, replayed = keeping.executor.jobs[1:]
    assert followed.messages == replayed.messages
    assert [one.content for one in followed.messages or ()] == ["Tell me a", "Hello, world", "more"]
    assert second["previous_response_id"] == first["id"]


async def test_instructions_are_not_carried_over(keeping: Served) -> None:
    first = await respond(keeping, instructions="Be brief.")
    await respond(keeping, previous_response_id=first["id"])
    assert (keeping.executor.jobs[1].messages or ())[0].role == "user"


async def test_a_function_is_called_and_answered(keeping: Served) -> None:
    call = ToolCall(index=0, id="call_1", name="weather")
    keeping.executor.deltas = [
        Delta(job="", tokens=(1,), reasoning="Which town?"),
        Delta(job="", tokens=(2,), calls=(call,)),
        Delta(job="", tokens=(3,), calls=(ToolCall(index=0, arguments='{"town":'),)),
        Delta(job="", tokens=(4,), calls=(ToolCall(index=0, arguments='"Bern"}'),)),
    ]
    events = await streamed(keeping, tools=[WEATHER])
    first = events[-1]["response"]
    reasoning, called = first["output"]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "Which town?"}]
    assert (called["name"], called["call_id"], called["arguments"]) == ("weather", "call_1", '{"town":"Bern"}')
    assert [one["item"] for one in events if one["type"] == "response.output_item.done"] == first["output"]
    assert first["usage"]["output_tokens_details"]["reasoning_tokens"] == 1
    keeping.executor.deltas = ["Sunny."]
    output = {"type": "function_call_output", "call_id": "call_1", "output": "sun"}
    await respond(keeping, input=[output], previous_response_id=first["id"], tools=[WEATHER])
    await respond(keeping, input=[{"role": "user", "content": "Hi"}, *first["output"], output], tools=[WEATHER])
    followed, replayed = keeping.executor.jobs[1:]
    assert followed.messages == replayed.messages
    assert [one.role for one in followed.messages or ()] == ["user", "assistant", "tool"]
    function = {"name": "weather", "arguments": {"town": "Bern"}}
    assert (followed.messages or ())[1].tool_calls == ({"id": "call_1", "type": "function", "function": function},)


async def test_a_schema_binds(keeping: Served) -> None:
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}
    answer = await respond(keeping, text={"format": form})
    assert keeping.executor.jobs[0].grammar
    assert answer["text"]["format"]["schema"] == form["schema"]


async def test_an_answer_that_is_cut_is_incomplete(keeping: Served) -> None:
    keeping.executor.reason = FinishReason.LENGTH
    answer = await respond(keeping, max_output_tokens=3)
    assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert answer["output"][0]["status"] == "incomplete"
    assert keeping.executor.jobs[0].max_tokens == 3
    assert (await streamed(keeping))[-1]["type"] == "response.incomplete"


async def test_the_chats_word_for_the_length_counts_too(keeping: Served) -> None:
    await respond(keeping, max_tokens=-1)
    await respond(keeping, max_tokens=5)
    await respond(keeping, max_tokens=5, max_output_tokens=3)
    limit = keeping.parts.settings.inference.max_tokens
    assert [job.max_tokens for job in keeping.executor.jobs] == [limit, 5, 3]
    assert (await respond(keeping, 400, max_tokens=0))["error"]["param"] == "max_tokens"


async def test_without_store_nothing_is_kept(keeping: Served, memory: Memory) -> None:
    answer = await respond(keeping, store=False)
    assert answer["store"] is False
    assert "conversation_id" not in answer
    await keeping.json("GET", f"/v1/responses/{answer['id']}", 404)
    assert not (await memory.conversations.list("local")).items


async def test_a_memory_that_cannot_store_stops_no_answer(served: Served) -> None:
    assert (await respond(served))["store"] is False


async def test_a_response_is_deleted_with_its_turns(keeping: Served, memory: Memory) -> None:
    answer = await respond(keeping)
    gone = await keeping.json("DELETE", f"/v1/responses/{answer['id']}")
    assert gone == {"id": answer["id"], "object": "response", "deleted": True}
    await keeping.json("GET", f"/v1/responses/{answer['id']}", 404)
    await respond(keeping, 404, previous_response_id=answer["id"])
    assert not (await memory.conversations.list("local")).items


async def test_input_items_come_in_pages(keeping: Served) -> None:
    items = [{"role": "user", "content": text} for text in "abc"]
    path = f"/v1/responses/{(await respond(keeping, input=items))['id']}/input_items"
    newest = await keeping.json("GET", path + "?limit=2")
    assert [one["content"][0]["text"] for one in newest["data"]] == ["c", "b"]
    assert newest["has_more"]
    rest = await keeping.json("GET", f"{path}?limit=2&after={newest['last_id']}")
    assert [one["content"][0]["text"] for one in rest["data"]] == ["a"]
    assert not rest["has_more"]
    await keeping.json("GET", path + "?after=msg_0", 404)


async def test_an_item_keeps_the_role_that_it_was_sent_with(keeping: Served) -> None:
    items = [{"role": role, "content": role} for role in ("developer", "user", "system")]
    named = (await keeping.json("POST", "/v1/conversations", json={"items": items}))["id"]
    answer = await respond(keeping, input=items, conversation=named)
    seen = await keeping.json("GET", f"/v1/responses/{answer['id']}/input_items?order=asc")
    assert [one["role"] for one in seen["data"]] == ["developer", "user", "system"]
    seen = await keeping.json("GET", f"/v1/conversations/{named}/items?order=asc")
    assert [one["role"] for one in seen["data"]] == ["developer", "user", "system"] * 2 + ["assistant"]
    (job,) = keeping.executor.jobs
    assert [one.role for one in job.messages or ()] == ["system", "user", "system"] * 2  # as models know it


async def test_a_named_conversation_gets_input_and_answer(keeping: Served, memory: Memory) -> None:
    made = await keeping.json("POST", "/v1/conversations", json={"items": [{"role": "user", "content": "I am Ada."}]})
    answer = await respond(keeping, conversation={"id": made["id"]})
    assert answer["conversation"] == {"id": made["id"]}
    told = [one.content for one in keeping.executor.jobs[0].messages or ()]
    assert told == ["I am Ada.", "Hi"]
    assert (await memory.conversations.get("local", made["id"])).turns == 3


async def test_what_fails_half_way_ends_with_an_error_and_a_failed_response(keeping: Served) -> None:
    keeping.executor.fail = ErrorInfo("worker_crashed", "it crashed twice")
    events = await streamed(keeping)
    assert [one["type"] for one in events[-2:]] == ["error", "response.failed"]
    assert events[-2]["code"] == "worker_crashed"
    assert events[-1]["response"]["error"] == {"code": "worker_crashed", "message": "it crashed twice"}


async def test_a_context_that_is_too_small_is_an_error_unless_it_may_be_cut(keeping: Served) -> None:
    detail = {"prompt": 100, "limit": 50}
    keeping.executor.deltas, keeping.executor.fail = [], ErrorInfo("context_length_exceeded", "too long", None, detail)
    items = [{"role": "user", "content": text * 50} for text in "abc"]
    error = (await respond(keeping, 400, input=items))["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input")
    assert len(keeping.executor.jobs) == 1
    await respond(keeping, 400, input=items, truncation="auto")
    assert [len(job.messages or ()) for job in keeping.executor.jobs[1:]] == [3, 1]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"type": "computer_call", "id": "x"}]}, "input[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "function_call_output", "call_id": "x"}]}, "input[0].output"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "x"}}, "prompt"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name"),
        ({"tools": [{**WEATHER, "strict": True, "parameters": {"properties": []}}]}, "tools[0].parameters"),
        ({"tools": [{"type": "file_search"}]}, "tools[0]"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "schema": {"not": {}}}}}, None),
        ({"previous_response_id": "resp_1", "conversation": "conv_1"}, "previous_response_id"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"include": ["everything"]}, "include[0]"),
        ({"truncation": "some"}, "truncation"),
        ({"n": 2}, "n"),
    ],
)
async def test_what_cannot_be_done_is_refused(keeping: Served, fields: dict[str, Any], param: str | None) -> None:
    error = (await respond(keeping, 400, **fields))["error"]
    if param:
        assert error["param"] == param
    assert not keeping.executor.jobs


async def test_stored_items_may_be_named_instead_of_sent(keeping: Served) -> None:
    """As the AI SDK does in the next turn: reasoning, calls, and what was said, each by its id."""
    call = ToolCall(index=0, id="call_1", name="weather", arguments='{"town":"Bern"}')
    keeping.executor.deltas = [
        Delta(job="", tokens=(1,), text="", reasoning="Hm."),
        Delta(job="", tokens=(2,), text="", calls=(call,)),
    ]
    first = await respond(keeping, tools=[WEATHER])
    assert [item["type"] for item in first["output"]] == ["reasoning", "function_call"]
    named = [{"type": "item_reference", "id": item["id"]} for item in first["output"]]
    result = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
    keeping.executor.deltas = ["Sun"]
    second = await respond(keeping, input=[{"role": "user", "content": "Hi"}, *named, result], tools=[WEATHER])
    sent = [{"role": "user", "content": "Hi"}, *first["output"], result]
    await respond(keeping, input=sent, tools=[WEATHER])
    by_name, whole = (job.messages for job in keeping.executor.jobs[1:])
    assert by_name == whole
    (said,) = second["output"]
    await respond(keeping, input=[{"id": said["id"]}, {"role": "user", "content": "Thanks"}])
    assert [(one.role, one.content) for one in keeping.executor.jobs[-1].messages or ()] == [
        ("assistant", "Sun"),
        ("user", "Thanks"),
    ]
    for name in ("msg_" + "0" * 48, first["output"][0]["id"] + "_7", "x"):
        refused = await respond(keeping, 404, input=[{"type": "item_reference", "id": name}])
        assert refused["error"]["param"] == "input[0].id"


@pytest.mark.parametrize("fields", [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}])
async def test_what_is_not_there_is_not_found(keeping: Served, fields: dict[str, Any]) -> None:
    error = (await respond(keeping, 404, **fields))["error"]
    assert error["param"] == next(iter(fields))


async def test_what_runs_with_its_client_cannot_be_cancelled(keeping: Served) -> None:
    answer = await respond(keeping)
    await keeping.json("POST", f"/v1/responses/{answer['id']}/cancel", 400, json={})
    await keeping.json("GET", f"/v1/responses/{answer['id']}?stream=true", 400)


async def test_allowed_tools_are_the_only_ones(keeping: Served) -> None:
    other = {**WEATHER, "name": "other"}
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]}
    await respond(keeping, tools=[other, WEATHER], tool_choice=choice)
    (job,) = keeping.executor.jobs
    assert [tool["function"]["name"] for tool in job.tools] == ["weather"]
    assert job.tool_choice == "required"


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ({"mode": "required", "tools": [{"type": "function", "name": "other"}]}, "tool_choice.tools"),
        ({"mode": "auto", "tools": [{"type": "file_search"}]}, "tool_choice.tools"),
        ({"mode": "auto", "tools": "weather"}, "tool_choice.tools"),
        ({"tools": []}, "tool_choice.mode"),
        ({"mode": "required", "tools": []}, "tool_choice"),
    ],
)
async def test_allowed_tools_must_be_among_the_tools(keeping: Served, choice: dict[str, Any], param: str) -> None:
    refused = await respond(keeping, 400, tools=[WEATHER], tool_choice={"type": "allowed_tools", **choice})
    assert refused["error"]["param"] == param
    assert refused["error"]["message"].startswith(f"{param}: ")


async def test_a_search_that_must_be_called_is_called_where_no_function_is(keeping: Served, memory: Memory) -> None:
    store = await memory.documents.stores.create("local", "house", None, [])
    search = {"type": "file_search", "vector_store_ids": [store.id]}
    only = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "file_search"}]}
    answer = await respond(keeping, tools=[WEATHER, search], tool_choice=only)
    assert [item["type"] for item in answer["output"]] == ["file_search_call", "message"]
    weather = {**only, "tools": [{"type": "function", "name": "weather"}]}
    answer = await respond(keeping, tools=[WEATHER, search], tool_choice=weather)
    assert "file_search_call" not in [item["type"] for item in answer["output"]]
    first, second = keeping.executor.jobs
    assert (first.tools, first.tool_choice, second.tool_choice) == ((), "auto", "required")


async def test_files_are_searched_cited_and_told_again(keeping: Served, memory: Memory) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"The spare key lies under the blue flower pot."

    documents = memory.documents
    file = await documents.files.create("local", "house.txt", lambda: "assistants", pieces())
    store = await documents.stores.create("local", "house", None, [NewEntry(file=file.id)])
    await documents.indexing.step()
    keeping.executor.deltas = ["Under the pot [1]", ", says the file [7]."]
    tool = {"type": "file_search", "vector_store_ids": [store.id]}
    question = "Where is the spare key?"
    events = await streamed(keeping, input=question, tools=[tool], include=["file_search_call.results"])
    answer = events[-1]["response"]
    search, message = answer["output"]
    assert (search["type"], search["queries"]) == ("file_search_call", [question])
    assert search["results"][0]["file_id"] == file.id
    (mark,) = message["content"][0]["annotations"]
    assert mark == {"type": "file_citation", "file_id": file.id, "filename": "house.txt", "index": 14}
    assert [one["item"] for one in events if one["type"] == "response.output_item.done"] == answer["output"]
    told = (keeping.executor.jobs[0].messages or ())[0].content
    assert "blue flower pot" in told
    assert told.endswith(question)
    again = await keeping.json("GET", f"/v1/responses/{answer['id']}")
    assert again["output"][0].get("results") is None
    await respond(keeping, input="Thanks", previous_response_id=answer["id"])
    assert (keeping.executor.jobs[1].messages or ())[0].content == told


async def test_a_store_of_another_account_is_not_searched(keeping: Served, memory: Memory) -> None:
    store = await memory.documents.stores.create("other", "x", None, [])
    await respond(keeping, 404, tools=[{"type": "file_search", "vector_store_ids": [store.id]}])
