"""Answers that are told again, over the API and a fake executor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fakes.executor import FakeExecutor
from fakes.served import Served, fake_parts, serve
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from mongarsd.api.app import make_admin_app
from mongarsd.api.reuse import key_of
from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import ErrorInfo
from mongarsd.ground.job import Delta, FinishReason, Job, Message, Priority, ToolCall
from mongarsd.ground.sampling import Sampling
from mongarsd.ground.settings import CacheSettings
from mongarsd.memory.room import Memory


async def ask(
    served: Served, *, directive: str = "", path: str = "/v1/chat/completions", **more: Any
) -> tuple[str, str]:
    """What X-Cache said, and the body."""
    body = {"model": "tiny", "temperature": 0, **more}
    if "prompt" not in body:
        body.setdefault("messages", [{"role": "user", "content": "Hi"}])
    headers = {"Cache-Control": directive} if directive else {}
    async with served.client.post(served.url + path, json=body, headers=headers) as response:
        text = await response.text()
        assert response.status in (200, 500, 503, 504), text
        return response.headers.get("X-Cache", ""), text


def said(text: str) -> str:
    """Without what is new in every answer: ids, times, and how long it took."""
    text = re.sub(r'"(id|created)":("[^"]*"|\d+)', "", text)
    return re.sub(r'"(timings|prompt_ms|queue_ms)":\{[^}]*\}', "", text)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_request_is_computed_once(served: Served, stream: bool) -> None:
    first, one = await ask(served, stream=stream, logprobs=True)
    second, two = await ask(served, stream=stream, logprobs=True)
    assert (first, second) == ("miss", "hit")
    assert said(one) == said(two)
    assert len(served.executor.jobs) == 1


async def test_streamed_and_whole_answers_are_the_same_job(served: Served) -> None:
    await ask(served, stream=True)
    assert (await ask(served))[0] == "hit"


async def test_a_hit_took_no_time(served: Served) -> None:
    await served.chat(temperature=0)
    answer = await served.chat(temperature=0)
    assert answer["timings"]["prompt_ms"] == answer["timings"]["predicted_ms"] == 0
    assert answer["usage"]["prompt_tokens"] == 7


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"temperature": 0.8}, "off"),
        ({"temperature": 0.8, "seed": 5}, "hit"),
        ({"temperature": 0, "seed": 5}, "hit"),
        ({"n": 2, "temperature": 0.8, "seed": 5}, "hit"),
        ({"temperature": 0, "n": 2}, "hit"),
    ],
)
async def test_only_what_has_one_answer(served: Served, more: dict[str, Any], expected: str) -> None:
    await ask(served, **more)
    assert (await ask(served, **more))[0] == expected


@pytest.mark.parametrize(
    "other",
    [
        {"messages": [{"role": "user", "content": "Ho"}]},
        {"max_tokens": 3},
        {"stop": "x"},
        {"logprobs": True},
        {"top_k": 3},
        {"temperature": 0.5, "seed": 0},
        {"grammar": 'root ::= "a"'},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
        {"chat_template_kwargs": {"enable_thinking": False}},
    ],
)
async def test_another_request_is_another_job(served: Served, other: dict[str, Any]) -> None:
    await ask(served)
    assert (await ask(served, **other))[0] == "miss"


async def test_a_request_can_do_without(served: Served) -> None:
    assert (await ask(served, directive="no-store"))[0] == "off"
    assert (await ask(served))[0] == "miss"
    assert (await ask(served, directive="max-age=0, No-Cache"))[0] == "miss"
    assert (await ask(served, directive="no-store"))[0] == "off"
    assert (await ask(served))[0] == "hit"
    assert len(served.executor.jobs) == 4


async def test_plain_completions_and_ollama_too(served: Served) -> None:
    for path, body in (
        ("/v1/completions", {"prompt": "once"}),
        ("/api/chat", {"stream": False, "options": {"temperature": 0}}),
    ):
        assert [(await ask(served, path=path, **body))[0] for _ in "12"] == ["miss", "hit"]


async def test_tool_calls_are_told_again() -> None:
    call = Delta("", (1,), calls=(ToolCall(0, "call_1", "f", '{"a":1}'),))
    async with serve(FakeExecutor([call])) as served:
        one, two = [await served.chat(temperature=0) for _ in "12"]
        assert one["choices"] == two["choices"]
        assert two["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"a":1}'


@pytest.mark.parametrize("reason", [FinishReason.CANCELLED, FinishReason.DEADLINE, FinishReason.LENGTH])
async def test_an_answer_that_was_cut_is_not_kept(reason: FinishReason) -> None:
    """Also one that ended with its context: that may be larger tomorrow."""
    async with serve(FakeExecutor(reason=reason)) as served:
        await ask(served)
        assert (await ask(served))[0] != "hit"
        assert served.parts.answers.status().answers == 0


async def test_an_answer_of_all_its_tokens_is_kept() -> None:
    async with serve(FakeExecutor(reason=FinishReason.LENGTH)) as served:
        await ask(served, max_tokens=3)
        assert (await ask(served, max_tokens=3))[0] == "hit"


async def test_a_job_that_failed_is_not_kept() -> None:
    async with serve(FakeExecutor(fail=ErrorInfo("busy", "no"))) as served:
        await ask(served)
        assert (await ask(served))[0] != "hit"


async def test_the_owner_sees_and_clears_it() -> None:
    async with serve(make=make_admin_app) as served:
        await ask(served)
        await ask(served)
        status = await served.json("GET", "/admin/cache")
        assert {name: status["answers"][name] for name in ("answers", "hits", "misses")} == {
            "answers": 1, "hits": 1, "misses": 1,
        }  # fmt: skip
        async with served.client.get(served.url + "/metrics") as response:
            text = await response.text()
        assert "mongarsd_answer_cache_hits_total 1.0" in text
        assert "mongarsd_answer_cache_bytes" in text
        assert (await served.json("DELETE", "/admin/cache"))["answers"]["answers"] == 0
        assert (await ask(served))[0] == "miss"


async def test_off(served: Served) -> None:
    served.parts.settings = structs.replace(served.parts.settings, cache=CacheSettings(answers=0))
    assert [(await ask(served))[0] for _ in "12"] == ["off", "off"]


async def test_what_is_recalled_is_part_of_the_question(tmp_path: Path) -> None:
    memory = Memory(tmp_path, FakeClock())
    await memory.start()
    try:
        async with serve(parts=fake_parts(memory=memory)) as served:
            question = {
                "messages": [{"role": "user", "content": "What is the cat called?"}],
                "memory": {"recall": True},
            }
            await memory.recall.add("local", "The cat is called Mia")
            assert (await ask(served, **question))[0] == "miss"
            assert (await ask(served, **question))[0] == "hit"
            (found,) = (await memory.recall.page("local")).items
            await memory.recall.delete("local", found.id)
            assert (await ask(served, **question))[0] == "miss"
    finally:
        await memory.close()


_JOB = Job(id="a", model="m", messages=(Message(role="user", content="Hi"),), account="x", sampling=Sampling(seed=3))


@settings(deadline=None)  # another job on the machine is no error
@given(st.text(), st.sampled_from(Priority), st.none() | st.floats(0, 10), st.booleans())
def test_who_computes_it_when_makes_no_difference(
    name: str, priority: Priority, deadline: float | None, seeded: bool
) -> None:
    other = structs.replace(_JOB, id=name, priority=priority, deadline=deadline, seeded=seeded)
    assert key_of(other) == key_of(_JOB)


@pytest.mark.parametrize(
    "change",
    [
        {"account": "y"}, {"model": "n"}, {"adapter": "a"}, {"text": "Hi"}, {"tokens": (1,)}, {"tool_name": "f"},
        {"tools": ({"type": "function"},)}, {"parallel_tool_calls": False}, {"grammar": "g"}, {"max_tokens": 1},
        {"template_args": {"a": 1}}, {"sampling": Sampling(seed=4)}, {"stop": ("a",)}, {"logprobs": 0},
        {"messages": (Message(role="system", content="Hi"),)},
    ],
)  # fmt: skip
def test_everything_else_does(change: dict[str, Any]) -> None:
    assert key_of(structs.replace(_JOB, **change)) != key_of(_JOB)


def test_temperature_0_has_no_seed() -> None:
    keys = {key_of(structs.replace(_JOB, sampling=Sampling(seed=seed, temperature=0.0))) for seed in (1, 2)}
    assert len(keys) == 1
