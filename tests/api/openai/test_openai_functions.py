"""OpenAI's old `functions` and `function_call`."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from fakes.served import Served
from fakes.sse import events, text

from mongarsd.api.openai.answers import ChatChunk
from mongarsd.ground.job import Delta, FinishReason, Message, TokenLogprob, ToolCall, ToolChoice

WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"town": {"type": "string"}}}}
LIGHT = {"name": "light"}
BEGUN = Delta(job="", tokens=(1,), calls=(ToolCall(0, "call_1", "weather", '{"to'),))
ENDED = Delta(job="", tokens=(2,), calls=(ToolCall(0, arguments='wn": "Rome"}'),))
SECOND = Delta(job="", tokens=(3,), calls=(ToolCall(1, "call_2", "light", "{}"),))


async def stream(served: Served, **fields: Any) -> list[dict[str, Any]]:
    """All events but the last, which is [DONE]."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True, **fields}
    async with served.client.post(served.url + "/v1/chat/completions", json=body) as response:
        assert response.status == 200, await response.text()
        *got, done = events(await response.read())
    assert done == "[DONE]"
    return got


async def test_functions_are_tools_and_a_call_is_the_functions(served: Served) -> None:
    served.executor.deltas = [BEGUN, ENDED]
    (choice,) = (await served.chat(functions=[WEATHER, LIGHT]))["choices"]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["content"] is None
    assert choice["message"]["function_call"] == {"name": "weather", "arguments": '{"town": "Rome"}'}
    assert "tool_calls" not in choice["message"]
    (job,) = served.executor.jobs
    assert [tool["function"]["name"] for tool in job.tools] == ["weather", "light"]
    assert job.tools[0]["function"]["parameters"] == WEATHER["parameters"]
    assert not job.parallel_tool_calls


@pytest.mark.parametrize(
    ("function_call", "choice", "name"),
    [
        (None, ToolChoice.AUTO, None),
        ("auto", ToolChoice.AUTO, None),
        ("none", ToolChoice.NONE, None),
        ({"name": "light"}, ToolChoice.REQUIRED, "light"),
    ],
)
async def test_which_function_is_called(
    served: Served, function_call: Any, choice: ToolChoice, name: str | None
) -> None:
    await served.chat(functions=[WEATHER, LIGHT], function_call=function_call)
    (job,) = served.executor.jobs
    assert (job.tool_choice, job.tool_name) == (choice, name)


async def test_an_answer_in_words_is_as_ever(served: Served) -> None:
    (choice,) = (await served.chat(functions=[WEATHER]))["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hello, world", "stop")
    assert "function_call" not in choice["message"]


async def test_streamed_the_name_comes_first_and_then_the_arguments(served: Served) -> None:
    served.executor.deltas = [Delta(job="", text="Well. ", tokens=(9,)), BEGUN, ENDED]
    got = await stream(served, functions=[WEATHER])
    for event in got:
        msgspec.convert(event, ChatChunk, strict=True)
    deltas = [event["choices"][0]["delta"] for event in got]
    assert [delta["function_call"] for delta in deltas if "function_call" in delta] == [
        {"name": "weather", "arguments": ""},
        {"arguments": '{"to'},
        {"arguments": 'wn": "Rome"}'},
    ]
    assert not [delta for delta in deltas if "tool_calls" in delta]
    assert text(got) == "Well. "
    assert got[-1]["choices"][0]["finish_reason"] == "function_call"


async def test_a_second_call_has_no_place(served: Served) -> None:
    served.executor.deltas = [BEGUN, ENDED, SECOND]
    (choice,) = (await served.chat(functions=[WEATHER, LIGHT]))["choices"]
    assert choice["message"]["function_call"]["name"] == "weather"
    got = await stream(served, functions=[WEATHER, LIGHT])
    names = [event["choices"][0]["delta"].get("function_call", {}).get("name") for event in got]
    assert list(filter(None, names)) == ["weather"]


async def test_a_streams_words_and_logprobs_stand_beside_a_call(served: Served) -> None:
    logprob = TokenLogprob(1, b"{", -0.5)
    served.executor.deltas = [msgspec.structs.replace(BEGUN, text="So: ", logprobs=(logprob,)), ENDED]
    got = await stream(served, functions=[WEATHER], logprobs=True)
    told = [event["choices"][0]["logprobs"] for event in got if event["choices"][0]["logprobs"]]
    assert [[one["logprob"] for one in each["content"]] for each in told] == [[-0.5]]
    assert text(got) == "So: "


async def test_a_call_that_was_cut_says_so(served: Served) -> None:
    served.executor.deltas, served.executor.reason = [BEGUN], FinishReason.LENGTH
    (choice,) = (await served.chat(functions=[WEATHER]))["choices"]
    assert choice["finish_reason"] == "length"


async def test_calls_and_results_of_earlier_turns_are_tools(served: Served) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": '{"town": "Rome"}'}},
        {"role": "function", "name": "weather", "content": "Sunny"},
        {"role": "assistant", "content": "Sunny.", "function_call": None},
    ]
    await served.chat(messages=messages)  # also without functions, and the same each time
    await served.chat(messages=messages, functions=[WEATHER], function_call="none")
    told, again = (job.messages for job in served.executor.jobs)
    assert told == again
    assert told
    (call,) = told[1].tool_calls
    assert call == {
        "id": call["id"],
        "type": "function",
        "function": {"name": "weather", "arguments": {"town": "Rome"}},
    }
    assert told[2] == Message(role="tool", name="weather", content="Sunny", tool_call_id=call["id"])
    assert told[3] == Message(role="assistant", content="Sunny.")
    assert len(call["id"]) == 9


async def test_a_result_whose_call_was_left_out_stands_alone(served: Served) -> None:
    result = {"role": "function", "name": "weather", "content": None}
    await served.chat(messages=[{"role": "user", "content": "Weather?"}, result])
    assert served.executor.jobs[0].messages
    last = served.executor.jobs[0].messages[-1]
    assert (last.role, last.name, last.content) == ("tool", "weather", "")
    assert last.tool_call_id


async def test_a_call_has_one_result(served: Served) -> None:
    result = {"role": "function", "name": "weather", "content": "Sunny"}
    call = {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}}
    await served.chat(messages=[{"role": "user", "content": "Hi"}, call, result, result])
    _, called, first, second = served.executor.jobs[0].messages or ()
    assert called.tool_calls[0]["id"] == first.tool_call_id
    assert second.tool_call_id not in (None, first.tool_call_id)


async def test_the_new_word_counts_where_a_turn_has_both(served: Served) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    turn = {"role": "assistant", "tool_calls": [call], "function_call": {"name": "light", "arguments": "{}"}}
    await served.chat(messages=[{"role": "user", "content": "Hi"}, turn])
    assert served.executor.jobs[0].messages
    assert [one["id"] for one in served.executor.jobs[0].messages[1].tool_calls] == ["c1"]


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        (
            {"functions": [LIGHT], "tools": [{"type": "function", "function": LIGHT}]},
            "functions",
            "not together with tools",
        ),
        ({"functions": [LIGHT], "tool_choice": "auto"}, "tool_choice", "function_call"),
        ({"functions": [LIGHT], "function_call": {"name": "weather"}}, "function_call.name", "none of the"),
        ({"functions": [LIGHT], "function_call": {}}, "function_call.name", "none of the"),
        ({"functions": [LIGHT], "function_call": "required"}, "function_call", "auto, none"),
        ({"functions": [LIGHT, {"name": "no spaces"}]}, "functions[1].name", "functions[1].name: 1 to 64"),
        ({"functions": [LIGHT, LIGHT]}, "functions[0].name", "named light"),
        ({"functions": [{"name": "f", "parameters": {"type": "array"}}]}, "functions[0].parameters", "object"),
        ({"function_call": {"name": "light"}}, "function_call", "there are none"),
        (
            {"function_call": "none", "tools": [{"type": "function", "function": LIGHT}]},
            "function_call",
            "tool_choice",
        ),
        ({"functions": [LIGHT], "response_format": {"type": "json_object"}}, "response_format", "tools"),
        ({"functions": [LIGHT], "top_logprobs": 2}, "top_logprobs", "logprobs"),
        ({"functions": "weather"}, "functions", "array"),
    ],
)
async def test_what_is_refused_names_what_was_sent(
    served: Served, fields: dict[str, Any], param: str, says: str
) -> None:
    error = (await served.chat(400, **fields))["error"]
    assert error["param"] == param
    assert says in error["message"]
    assert not served.executor.jobs


@pytest.mark.parametrize(
    "fields", [{"functions": None, "function_call": None}, {"functions": [], "function_call": "auto"}]
)
async def test_no_functions_are_none(served: Served, fields: dict[str, Any]) -> None:
    (choice,) = (await served.chat(**fields))["choices"]
    assert choice["finish_reason"] == "stop"
    assert not served.executor.jobs[0].tools
