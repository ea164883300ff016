from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mongarsd.api.openai import forms
from mongarsd.api.openai.jobs import Order, chat_jobs, completion_jobs
from mongarsd.api.openai.requests import SAMPLING, ChatRequest, CompletionRequest
from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Job, Message, Priority
from mongarsd.ground.preset import Preset
from mongarsd.ground.sampling import Sampling

ORDER = Order("sha256:" + "1" * 64, "me", 100)
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": [1]}'}}


def chat(messages: list[dict[str, Any]] | None = None, order: Order = ORDER, **fields: Any) -> list[Job]:
    body = {"messages": messages or [{"role": "user", "content": "Hi"}], **fields}
    return chat_jobs(msgspec.json.decode(msgspec.json.encode(body), type=ChatRequest), order)


def fails(param: str, *args: Any, **fields: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        chat(*args, **fields)
    assert caught.value.param == param


def test_the_defaults_are_llama_cpps() -> None:
    (job,) = chat()
    assert msgspec.structs.replace(job.sampling, seed=0) == Sampling()
    assert (job.max_tokens, job.stop, job.logprobs, job.account) == (100, (), None, "me")
    assert job.cache_prompt
    assert job.priority is Priority.INTERACTIVE
    assert job.model == ORDER.model


def test_every_sampling_field_arrives() -> None:
    given = {
        "temperature": 0.1, "dynatemp_range": 0.2, "dynatemp_exponent": 1.5, "top_k": 5, "top_p": 0.5, "min_p": 0.1,
        "typical_p": 0.9, "top_n_sigma": 1.0, "xtc_probability": 0.5, "xtc_threshold": 0.2, "min_keep": 1,
        "repeat_penalty": 1.1, "repeat_last_n": -1, "frequency_penalty": -1.0, "presence_penalty": 1.0,
        "dry_multiplier": 0.8, "dry_base": 2.0, "dry_allowed_length": 3, "dry_penalty_last_n": 9,
        "dry_sequence_breakers": ["\n"], "mirostat": 2, "mirostat_tau": 4.0, "mirostat_eta": 0.2, "ignore_eos": True,
    }  # fmt: skip
    assert set(given) == set(SAMPLING)
    (job,) = chat(**given, seed=-1, logit_bias={"5": -100}, samplers=["top_k", "temperature"])
    expected = {**given, "dry_sequence_breakers": ("\n",)}
    assert {name: getattr(job.sampling, name) for name in SAMPLING} == expected
    assert job.sampling.seed == 2**32 - 1
    assert job.sampling.logit_bias == ((5, -100.0),)
    assert job.sampling.samplers == ("top_k", "temperature")


def test_no_top_k_has_two_names() -> None:
    """llama.cpp's 0 and vLLM's -1."""
    assert [chat(top_k=k)[0].sampling.top_k for k in (0, -1)] == [0, -1]


def test_null_is_absent() -> None:
    (job,) = chat(**dict.fromkeys((*SAMPLING, "seed", "logit_bias", "stop", "n", "max_tokens", "tools")))
    assert msgspec.structs.replace(job.sampling, seed=0) == Sampling()


def test_without_a_seed_each_time_another() -> None:
    assert chat()[0].sampling.seed != chat()[0].sampling.seed


@pytest.mark.parametrize(("fields", "tokens"), [({"max_tokens": 5}, 5), ({"max_tokens": 10**6}, 100)])
def test_max_tokens_is_capped(fields: dict[str, Any], tokens: int) -> None:
    assert chat(**fields)[0].max_tokens == tokens
    assert chat(max_completion_tokens=7, **fields)[0].max_tokens == 7


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_minus_1_is_no_limit_and_other_numbers_below_1_are_nothing(name: str) -> None:
    preset = Preset(model=ORDER.model, max_tokens=7)
    assert chat(**{name: -1})[0].max_tokens == ORDER.max_tokens
    assert chat(order=ORDER._replace(preset=preset), **{name: -1})[0].max_tokens == ORDER.max_tokens
    assert chat(order=ORDER._replace(preset=preset), **{name: None})[0].max_tokens == 7
    fails(name, **{name: 0})
    with pytest.raises(msgspec.ValidationError, match=rf">= -1.*{name}"):
        chat(**{name: -2})
    assert completion_jobs(CompletionRequest(prompt="x", max_tokens=-1), ORDER)[0].max_tokens == ORDER.max_tokens


def test_the_newer_name_of_max_tokens_counts() -> None:
    assert chat(max_tokens=5, max_completion_tokens=-1)[0].max_tokens == ORDER.max_tokens
    assert chat(max_tokens=-1, max_completion_tokens=5)[0].max_tokens == 5
    fails("max_tokens", max_tokens=0, max_completion_tokens=5)


@pytest.mark.parametrize(
    ("stop", "stops"),
    [("a", ("a",)), (["a", "b"], ("a", "b")), ([], ()), ("", ()), ([""], ()), (["", "a", "\n"], ("a", "\n"))],
)
def test_stop(stop: Any, stops: tuple[str, ...]) -> None:
    assert chat(stop=stop)[0].stop == stops


def test_no_stop_string_takes_a_presets_away_and_null_does_not() -> None:
    order = ORDER._replace(preset=Preset(model=ORDER.model, stop=("x",)))
    assert [chat(order=order, stop=stop)[0].stop for stop in (None, "", [], [""])] == [("x",), (), (), ()]


def test_roles_and_parts() -> None:
    (job,) = chat(
        [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "Ann"},
            {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "Hm."},
            {"role": "tool", "content": "42", "tool_call_id": "c1"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        ]
    )
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": [1]}}}
    assert job.messages == (
        Message(role="system", content="Be brief."),
        Message(role="user", content="ab", name="Ann"),
        Message(role="assistant", reasoning="Hm.", tool_calls=(call,)),
        Message(role="tool", content="42", tool_call_id="c1"),
        Message(role="assistant", content="No."),
    )


@pytest.mark.parametrize("arguments", ["not json", "[1]", "[" * 5000, '"\\ud800"'])
def test_arguments_that_are_no_object_stay_text(arguments: str) -> None:
    (job,) = chat([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}])
    assert job.messages is not None
    assert job.messages[0].tool_calls[0]["function"]["arguments"] == arguments


def test_what_is_refused_names_the_field() -> None:
    fails("messages[0].content", [{"role": "user"}])
    part = "messages[0].content[1]"
    fails(part, [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url"}]}])
    fails(part, [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "smell"}]}])
    fails(f"{part}.text", [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text"}]}])
    fails("tools[0]", tools=[{"type": "function"}])
    fails("response_format.type", response_format={"type": "xml"})
    fails("modalities", modalities=["text", "audio"])
    fails("grammar", grammar="root ::= x")
    fails("json_schema", json_schema={"type": "object", "not": {}})
    fails("top_logprobs", top_logprobs=2)
    fails("chat_template_kwargs", chat_template_kwargs={"x": 2**70})
    huge = [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": f'{{"x": {2**70}}}'}}]}]
    fails("messages[0].tool_calls[0].function.arguments", huge)


def test_an_image_is_refused_because_of_the_model() -> None:
    with pytest.raises(BadRequest, match="no vision"):
        chat([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}])


def test_harmless_values_pass() -> None:
    chat(tools=[], tool_choice="none", response_format={"type": "text"}, modalities=["text"], store=False, user="u")
    tools = [{"type": "function", "function": {"name": "f"}}]
    chat(tools=tools, tool_choice="none", metadata={"a": "b"}, service_tier="auto", grammar="")


def weather_and(*names: str) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name}} for name in ("weather", *names)]


def test_tools_are_checked_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = chat(tools=weather_and("other"))
    assert len(job.tools) == 2
    monkeypatch.setattr(forms, "CHECKED", -1.0)
    chat(tools=weather_and())
    fails("tools[1].function", tools=weather_and("other"))


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_allowed_tools_are_the_only_ones_there_are(mode: str) -> None:
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": weather_and()}}
    (job,) = chat(tools=weather_and("other"), tool_choice=choice)
    assert [tool["function"]["name"] for tool in job.tools] == ["weather"]
    assert (job.tool_choice, job.tool_name) == (mode, None)


@pytest.mark.parametrize(
    ("allowed", "param"),
    [
        (None, "tool_choice.allowed_tools.mode"),
        ([], "tool_choice.allowed_tools.mode"),
        ({"mode": "none", "tools": []}, "tool_choice.allowed_tools.mode"),
        ({"mode": "auto"}, "tool_choice.allowed_tools.tools"),
        ({"mode": "auto", "tools": ["weather"]}, "tool_choice.allowed_tools.tools"),
        ({"mode": "auto", "tools": weather_and("unknown")}, "tool_choice.allowed_tools.tools"),
        (
            {"mode": "auto", "tools": [{"type": "function", "function": {"name": []}}]},
            "tool_choice.allowed_tools.tools",
        ),
        ({"mode": "required", "tools": []}, "tool_choice"),
    ],
)
def test_allowed_tools_that_mean_nothing_are_refused(allowed: Any, param: str) -> None:
    fails(param, tools=weather_and("other"), tool_choice={"type": "allowed_tools", "allowed_tools": allowed})


def test_template_arguments() -> None:
    assert chat()[0].template_args == {}
    assert chat(reasoning_effort="low")[0].template_args == {"reasoning_effort": "low"}
    (job,) = chat(reasoning_effort="none", chat_template_kwargs={"enable_thinking": True, "x": [1]})
    assert job.template_args == {"reasoning_effort": "none", "enable_thinking": True, "x": [1]}


def test_logprobs() -> None:
    assert chat(logprobs=True)[0].logprobs == 0
    assert chat(logprobs=True, top_logprobs=3)[0].logprobs == 3
    assert chat(logprobs=False)[0].logprobs is None
    (job,) = completion_jobs(CompletionRequest(prompt="x", logprobs=0), ORDER)
    assert job.logprobs == 0


def test_a_job_has_one_prompt() -> None:
    for job in (*chat(), *completion_jobs(CompletionRequest(prompt=["a", "b"]), ORDER)):
        assert [job.messages, job.text, job.tokens].count(None) == 2
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(job), type=Job) == job


@pytest.mark.parametrize("strict", [{}, {"strict": False}, {"strict": True}])
def test_a_tools_schema_binds_as_far_as_it_can(strict: dict[str, bool]) -> None:
    town = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    function = {"name": "f", "parameters": {"type": "object", "properties": {"towns": town}}}
    (job,) = chat(tools=[{"type": "function", "function": {**function, **strict}}])
    assert job.tools[0]["function"]["parameters"]["properties"] == {
        "towns": {"type": "array", "items": {"type": "string"}}
    }
