"""/api/chat and /api/generate over a fake executor: what Ollama's clients are told, and what the model is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes.executor import FakeExecutor
from fakes.models import TINY
from fakes.served import Served, serve
from msgspec import structs

from mongarsd.ground.errors import Busy, ErrorInfo
from mongarsd.ground.job import Delta, FinishReason, ToolCall, ToolChoice
from mongarsd.ground.preset import Preset

HI = [{"role": "user", "content": "Hi"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALLS = (
    Delta(job="", tokens=(1,), calls=(ToolCall(0, "call_a", "weather"),)),
    Delta(job="", tokens=(2,), calls=(ToolCall(0, arguments='{"city": '),)),
    Delta(job="", tokens=(3,), calls=(ToolCall(0, arguments='"Paris"}'), ToolCall(1, "call_b", "weather", "{}"))),
)


async def post(served: Served, path: str, status: int = 200, **body: Any) -> Any:
    return await served.json("POST", path, status, json={"model": "tiny", **body})


async def stream(served: Served, path: str, **body: Any) -> list[dict[str, Any]]:
    async with served.client.post(served.url + path, json={"model": "tiny", **body}) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "application/x-ndjson"
        text = await response.text()
    assert text.endswith("\n")
    assert "\n\n" not in text
    return [json.loads(line) for line in text.splitlines()]


async def test_a_chat_streams_unless_it_is_told_not_to(served: Served) -> None:
    lines = await stream(served, "/api/chat", messages=HI)
    assert "".join(line["message"]["content"] for line in lines) == "Hello, world"
    assert [line["done"] for line in lines] == [False, False, False, True]
    assert all(line["model"] == "tiny" and line["created_at"].endswith("Z") for line in lines)
    assert all(line["message"]["role"] == "assistant" for line in lines)
    whole = await post(served, "/api/chat", messages=HI, stream=False)
    assert whole["message"] == {"role": "assistant", "content": "Hello, world"}
    for last in (lines[-1], whole):
        assert last["done_reason"] == "stop"
        assert (last["prompt_eval_count"], last["eval_count"]) == (7, 3)
        assert (last["prompt_eval_duration"], last["eval_duration"]) == (100_000_000, 200_000_000)
        assert last["total_duration"] >= 0
        assert last["load_duration"] >= 0


async def test_generate_answers_in_response(served: Served) -> None:
    lines = await stream(served, "/api/generate", prompt="Hi", system="Be brief.")
    assert "".join(line["response"] for line in lines) == "Hello, world"
    assert [(m.role, m.content) for m in served.executor.jobs[0].messages or ()] == [
        ("system", "Be brief."),
        ("user", "Hi"),
    ]
    assert (await post(served, "/api/generate", prompt="Hi", stream=False))["response"] == "Hello, world"
    await post(served, "/api/generate", prompt="<s>Hi", raw=True, stream=False, options={"stop": ["x"]})
    assert (served.executor.jobs[2].text, served.executor.jobs[2].stop) == ("<s>Hi", ("x",))


async def test_options_reach_the_sampler_and_strange_ones_do_no_harm(served: Served) -> None:
    options = {
        "temperature": 0.5,
        "top_k": 7.0,
        "top_p": 0.3,
        "min_p": 0.1,
        "typical_p": 0.9,
        "seed": 42,
        "repeat_penalty": 1.2,
        "repeat_last_n": -1,
        "presence_penalty": 0.4,
        "frequency_penalty": 0.2,
        "mirostat": 2,
        "mirostat_tau": 4.0,
        "mirostat_eta": 0.2,
        "num_predict": 11,
        "stop": ["a", "b"],
        "num_ctx": 8192,
        "num_gpu": 99,
        "low_vram": None,
        "nobody": "knows",
    }
    await post(served, "/api/chat", messages=HI, stream=False, options=options)
    (job,) = served.executor.jobs
    sampling = structs.asdict(job.sampling)
    for name in ("temperature", "top_k", "top_p", "min_p", "typical_p", "seed", "repeat_penalty", "repeat_last_n"):
        assert sampling[name] == options[name]
    for name in ("presence_penalty", "frequency_penalty", "mirostat", "mirostat_tau", "mirostat_eta"):
        assert sampling[name] == options[name]
    assert (job.max_tokens, job.stop) == (11, ("a", "b"))


async def test_no_top_k_is_minus_1_as_elsewhere(served: Served) -> None:
    await post(served, "/api/chat", messages=HI, stream=False, options={"top_k": -1})
    assert served.executor.jobs[0].sampling.top_k == -1


@pytest.mark.parametrize("unlimited", [-1, -2, 0])
async def test_num_predict_below_1_is_what_the_node_allows(served: Served, unlimited: int) -> None:
    await post(served, "/api/chat", messages=HI, stream=False, options={"num_predict": unlimited, "seed": -1})
    assert served.executor.jobs[0].max_tokens == served.parts.settings.inference.max_tokens


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/api/chat", {"messages": "Hi"}, "messages"),
        ("/api/chat", {"messages": [{"role": "wizard", "content": "Hi"}]}, "messages[0].role"),
        ("/api/chat", {"messages": HI, "options": {"temperature": "hot"}}, "options.temperature"),
        ("/api/chat", {"messages": HI, "options": {"temperature": -1}}, "options.temperature"),
        ("/api/chat", {"messages": HI, "options": {"top_k": 1.5}}, "options.top_k"),
        ("/api/chat", {"messages": HI, "format": "xml"}, "format"),
        ("/api/chat", {"messages": HI, "format": {"type": "strange"}}, "format"),
        ("/api/chat", {"messages": HI, "keep_alive": "soon"}, "keep_alive"),
        ("/api/chat", {"messages": HI, "think": True}, "does not support thinking"),
        ("/api/chat", {"messages": HI, "top_logprobs": 21}, "top_logprobs"),
        ("/api/chat", {"messages": [{"role": "user", "content": "", "images": ["aGk="]}]}, "vision"),
        ("/api/chat", {"messages": HI, "tools": [{"function": {"name": "a b"}}]}, "tools[0].function.name"),
        ("/api/generate", {"prompt": "Hi", "images": ["aGk="]}, "vision"),
        ("/api/generate", {"prompt": "Hi", "suffix": "end"}, "does not support insert"),
        ("/api/generate", {"prompt": "Hi", "template": "{{ .Prompt }}"}, "template"),
        ("/api/generate", {"prompt": "Hi", "context": [1, 2]}, "/api/chat"),
        ("/api/generate", {"prompt": "Hi", "raw": True, "system": "x"}, "raw mode"),
        ("/api/generate", {"model": "", "prompt": "Hi"}, "model"),
    ],
)
async def test_what_is_wrong_is_said_as_a_text(served: Served, path: str, body: dict[str, Any], word: str) -> None:
    answer = await post(served, path, 400, **body)
    assert isinstance(answer["error"], str)
    assert word in answer["error"]
    assert not served.executor.jobs


async def test_a_gap_is_filled_by_models_that_can(served: Served) -> None:
    served.models.models["tiny"] = structs.replace(TINY, capabilities=("completion", "insert"))
    assert (await post(served, "/api/show"))["capabilities"] == ["completion", "insert"]
    asked = {"prompt": "def a(", "suffix": "):", "options": {"num_predict": 5, "stop": ["\n"]}}
    assert "".join(line["response"] for line in await stream(served, "/api/generate", **asked)) == "Hello, world"
    await post(served, "/api/generate", stream=False, raw=True, logprobs=True, **asked)
    for job in served.executor.jobs:
        assert (job.text, job.suffix, job.messages) == ("def a(", "):", None)
        assert (job.max_tokens, job.stop) == (5, ("\n",))
    assert "system" in (await post(served, "/api/generate", 400, system="Be brief.", **asked))["error"]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/show", "/api/embed", "/api/embeddings"])
async def test_an_unknown_model_is_said_in_the_words_clients_look_for(served: Served, path: str) -> None:
    body = {"model": "llama3:8b", "messages": HI, "prompt": "Hi", "input": "Hi"}
    assert (await served.json("POST", path, 404, json=body))["error"] == "model 'llama3:8b' not found"


async def test_the_name_comes_back_as_it_was_said(served: Served) -> None:
    assert (await post(served, "/api/chat", model="tiny:latest", messages=HI, stream=False))["model"] == "tiny:latest"


async def test_tool_calls_come_whole_with_their_arguments_as_objects() -> None:
    async with serve(FakeExecutor(CALLS)) as served:
        lines = await stream(served, "/api/chat", messages=HI, tools=[WEATHER])
        plain = await post(served, "/api/chat", messages=HI, tools=[WEATHER], stream=False)
    streamed = [call for line in lines for call in line["message"].get("tool_calls", ())]
    assert streamed == plain["message"]["tool_calls"]
    assert [call["function"] for call in streamed] == [
        {"index": 0, "name": "weather", "arguments": {"city": "Paris"}},
        {"index": 1, "name": "weather", "arguments": {}},
    ]
    assert plain["done_reason"] == "stop"


async def test_a_call_that_was_cut_is_not_lost() -> None:
    async with serve(FakeExecutor(CALLS[:2], reason=FinishReason.LENGTH)) as served:
        lines = await stream(served, "/api/chat", messages=HI, tools=[WEATHER])
        plain = await post(served, "/api/chat", messages=HI, tools=[WEATHER], stream=False)
    assert "".join(line["message"]["content"] for line in lines) == plain["message"]["content"] == 'weather{"city": '
    assert lines[-1]["done_reason"] == "length"


async def test_results_without_a_name_get_that_of_their_call(served: Served) -> None:
    """As Home Assistant sends them."""
    calls = [{"function": {"name": name, "arguments": {"city": "Paris"}}} for name in ("weather", "time")]
    await post(
        served,
        "/api/chat",
        stream=False,
        messages=[
            *HI,
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "content": "rain"},
            {"role": "tool", "content": "noon"},
        ],
    )
    messages = served.executor.jobs[0].messages or ()
    asked = [call["id"] for call in messages[1].tool_calls]
    assert len(set(asked)) == 2
    assert [(m.name, m.tool_call_id) for m in messages[2:]] == [("weather", asked[0]), ("time", asked[1])]


async def test_a_named_result_answers_the_call_of_its_name(served: Served) -> None:
    calls = [{"function": {"name": name}} for name in ("weather", "time")]
    await post(
        served,
        "/api/chat",
        stream=False,
        messages=[
            {"role": "assistant", "tool_calls": calls},
            {"role": "tool", "content": "noon", "tool_name": "time"},
            {"role": "tool", "content": "what?", "tool_name": "nobody"},
        ],
    )
    messages = served.executor.jobs[0].messages or ()
    assert messages[1].tool_call_id == messages[0].tool_calls[1]["id"]
    assert (messages[2].name, messages[2].tool_call_id) == ("nobody", None)


@pytest.mark.parametrize("form", ["json", {"type": "object", "properties": {"a": {"type": "integer"}}}])
async def test_a_format_binds_the_answer_also_when_there_are_tools(served: Served, form: Any) -> None:
    await post(served, "/api/chat", messages=HI, format=form, tools=[WEATHER], stream=False)
    await post(served, "/api/generate", prompt="Hi", format=form, stream=False)
    await post(served, "/api/generate", prompt="Hi", format=form, raw=True, stream=False)
    assert all(job.grammar and "root" in job.grammar for job in served.executor.jobs)
    assert served.executor.jobs[0].tool_choice is ToolChoice.NONE


async def test_an_empty_format_is_none(served: Served) -> None:
    await post(served, "/api/chat", messages=HI, format="", stream=False)
    assert served.executor.jobs[0].grammar is None


async def test_thinking_is_apart_from_the_answer() -> None:
    deltas = [Delta(job="", tokens=(1,), reasoning="Hm."), "Yes"]
    async with serve(FakeExecutor(deltas)) as served:
        served.models.models["tiny"] = structs.replace(TINY, capabilities=("completion", "tools", "thinking"))
        lines = await stream(served, "/api/chat", messages=HI, think=True)
        assert [line["message"].get("thinking") for line in lines] == ["Hm.", None, None]
        plain = await post(served, "/api/generate", prompt="Hi", think="low", stream=False)
        assert (plain["thinking"], plain["response"]) == ("Hm.", "Yes")
        await post(served, "/api/chat", messages=HI, think=False, stream=False)
        await post(served, "/api/chat", messages=HI, stream=False)
        asked = [job.template_args for job in served.executor.jobs]
    on = {"enable_thinking": True}
    assert asked == [on, {**on, "reasoning_effort": "low"}, {"enable_thinking": False}, {}]


async def test_not_to_think_is_no_error_for_a_model_that_cannot(served: Served) -> None:
    await post(served, "/api/chat", messages=HI, think=False, stream=False)


async def test_logprobs(served: Served) -> None:
    plain = await post(served, "/api/chat", messages=HI, logprobs=True, top_logprobs=2, stream=False)
    assert [one["token"] for one in plain["logprobs"]] == ["Hello", ", ", "world"]
    assert [len(one["top_logprobs"]) for one in plain["logprobs"]] == [2, 2, 2]
    lines = await stream(served, "/api/generate", prompt="Hi", logprobs=True, raw=True)
    assert [one["token"] for line in lines for one in line.get("logprobs", ())] == ["Hello", ", ", "world"]
    assert "logprobs" not in await post(served, "/api/chat", messages=HI, top_logprobs=2, stream=False)


async def test_a_full_queue_says_when_to_come_again() -> None:
    async with serve(FakeExecutor(refuse=Busy("The queue is full.", retry_after=3, position=9))) as served:
        for streamed in (True, False):
            body = {"model": "tiny", "messages": HI, "stream": streamed}
            async with served.client.post(served.url + "/api/chat", json=body) as response:
                assert (response.status, response.headers["Retry-After"]) == (503, "3")
                answer = await response.json()
            assert (answer["error"], answer["position"]) == ("The queue is full.", 9)


async def test_a_failure_half_way_is_the_last_line() -> None:
    async with serve(FakeExecutor(fail=ErrorInfo("worker_crashed", "It crashed twice."))) as served:
        lines = await stream(served, "/api/chat", messages=HI)
        assert lines[-1]["error"] == "It crashed twice."
        assert (await post(served, "/api/chat", 500, messages=HI, stream=False))["error"] == "It crashed twice."


async def test_a_slow_prompt_is_bridged_by_lines_that_say_nothing() -> None:
    async with serve(FakeExecutor(hold="prefill"), ping_interval=0.01) as served:
        body = {"model": "tiny", "messages": HI}
        async with served.client.post(served.url + "/api/chat", json=body) as response:
            for _ in range(3):
                line = json.loads(await response.content.readline())
                assert (line["message"]["content"], line["done"]) == ("", False)
            served.executor.release()
            assert json.loads((await response.content.read()).splitlines()[-1])["done"]


async def test_a_preset_speaks_where_the_request_is_silent(served: Served) -> None:
    preset = Preset(
        model=TINY.digest, system="You are Mario.", sampling={"temperature": 0.1, "seed": 5}, stop=("x",), max_tokens=9
    )
    served.models.models["mario"] = structs.replace(TINY, name="mario", preset=preset)
    await post(served, "/api/chat", model="mario", messages=HI, stream=False)
    own = [{"role": "system", "content": "Be nobody."}, *HI]
    options = {"temperature": 0.7, "num_predict": 3, "stop": "y"}
    await post(served, "/api/chat", model="mario", messages=own, options=options, stream=False)
    await served.chat(model="mario", messages=[{"role": "user", "content": "Hello"}])
    await post(served, "/api/chat", model="mario", messages=HI, stream=False, options={"num_predict": -1, "stop": [""]})
    first, second, third, fourth = served.executor.jobs
    assert (fourth.max_tokens, fourth.stop) == (served.parts.settings.inference.max_tokens, ())
    assert [m.content for m in first.messages or ()] == ["You are Mario.", "Hi"]
    assert (first.sampling.temperature, first.sampling.seed, first.stop, first.max_tokens) == (0.1, 5, ("x",), 9)
    assert [m.content for m in second.messages or ()] == ["Be nobody.", "Hi"]
    assert (second.sampling.temperature, second.stop, second.max_tokens) == (0.7, ("y",), 3)
    assert [m.content for m in third.messages or ()] == ["You are Mario.", "Hello"]
    assert (third.sampling, third.stop, third.max_tokens) == (first.sampling, first.stop, first.max_tokens)
    assert first.model == TINY.digest
