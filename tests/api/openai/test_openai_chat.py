from __future__ import annotations

from typing import Any

import msgspec
import pytest
from fakes.executor import FakeExecutor
from fakes.models import TINY
from fakes.served import Served, serve

from mongarsd.api.openai.answers import ChatCompletion
from mongarsd.ground.errors import ContextOverflow, ErrorInfo
from mongarsd.ground.job import Delta, FinishReason


async def test_a_plain_answer(served: Served) -> None:
    body = await served.chat()
    answer = msgspec.convert(body, ChatCompletion)
    assert answer.choices[0].message.content == "Hello, world"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].logprobs is None
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "tiny"
    assert "reasoning_content" not in body["choices"][0]["message"]


async def test_usage_and_timings() -> None:
    async with serve(FakeExecutor(cached=5)) as served:
        body = await served.chat()
    assert body["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 5},
    }
    assert body["timings"]["prompt_n"] == 2
    assert body["timings"]["cache_n"] == 5
    assert body["timings"]["predicted_per_second"] == 10.0


async def test_choices_share_the_prompt_and_not_the_seed(served: Served) -> None:
    body = await served.chat(n=3, seed=2**32 - 1)
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert body["usage"]["prompt_tokens"] == 7
    assert body["usage"]["completion_tokens"] == 9
    assert "timings" not in body
    assert sorted(job.sampling.seed for job in served.executor.jobs) == [0, 1, 2**32 - 1]
    assert len({job.id for job in served.executor.jobs}) == 3


async def test_reasoning_is_apart() -> None:
    deltas = [Delta(job="", tokens=(1,), reasoning="Hm."), Delta(job="", tokens=(2,), text="Yes.")]
    async with serve(FakeExecutor(deltas)) as served:
        message = (await served.chat())["choices"][0]["message"]
    assert message["reasoning_content"] == "Hm."
    assert message["content"] == "Yes."


async def test_logprobs(served: Served) -> None:
    body = await served.chat(logprobs=True, top_logprobs=2)
    content = body["choices"][0]["logprobs"]["content"]
    assert [entry["token"] for entry in content] == ["Hello", ", ", "world"]
    assert content[0]["bytes"] == list(b"Hello")
    assert [top["logprob"] for top in content[0]["top_logprobs"]] == [-1.0, -2.0]


async def test_the_default_model_is_meant_when_none_is_named(served: Served) -> None:
    body = await served.json(
        "POST", "/v1/chat/completions", json={"messages": [{"role": "user", "content": "x"}], "model": None}
    )
    assert body["model"] == "tiny"
    assert served.executor.jobs[0].model == TINY.digest


async def test_an_unknown_model_is_not_found(served: Served) -> None:
    error = (await served.chat(404, model="nope"))["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("reason", "status", "word"),
    [(FinishReason.LENGTH, 200, "length"), (FinishReason.CANCELLED, 503, ""), (FinishReason.DEADLINE, 504, "")],
)
async def test_how_it_ends(reason: FinishReason, status: int, word: str) -> None:
    async with serve(FakeExecutor(reason=reason)) as served:
        body = await served.chat(status)
    assert status != 200 or body["choices"][0]["finish_reason"] == word


async def test_a_failed_job_is_an_error() -> None:
    async with serve(FakeExecutor(fail=ErrorInfo("worker_crashed", "twice"))) as served:
        for n in (1, 2):
            error = (await served.chat(500, n=n))["error"]
            assert error["code"] == "worker_crashed"
        assert served.executor.running == 0


async def test_a_prompt_that_is_too_long_names_its_field() -> None:
    async with serve(FakeExecutor(refuse=ContextOverflow("too long", prompt=9, limit=8))) as served:
        error = (await served.chat(400))["error"]
        assert (error["param"], error["prompt"], error["limit"]) == ("messages", 9, 8)
    async with serve(FakeExecutor([], fail=ErrorInfo("context_length_exceeded", "too long"))) as served:
        body = await served.json("POST", "/v1/completions", 400, json={"prompt": "x"})
        assert body["error"]["param"] == "prompt"


async def test_an_executor_without_an_end_is_an_error() -> None:
    executor = FakeExecutor()

    async def ends_early(job: Any) -> Any:
        yield Delta(job=job.id, tokens=(1,), text="x")

    executor.run = ends_early  # type: ignore[method-assign]
    async with serve(executor) as served:
        assert (await served.chat(500))["error"]["message"] == "the job ended without an answer"
