from __future__ import annotations

from typing import Any

import msgspec
import pytest
from fakes.executor import FakeExecutor
from fakes.served import Served, serve
from fakes.sse import events
from msgspec import structs

from mongarsd.api.openai.answers import Completion
from mongarsd.ground.job import Delta


async def complete(served: Served, status: int = 200, **fields: Any) -> Any:
    return await served.json("POST", "/v1/completions", status, json={"prompt": "Once", **fields})


async def test_a_text(served: Served) -> None:
    answer = msgspec.convert(await complete(served), Completion)
    assert answer.choices[0].text == "Hello, world"
    assert answer.id.startswith("cmpl-")
    assert served.executor.jobs[0].text == "Once"


async def test_several_prompts_times_n(served: Served) -> None:
    body = await complete(served, prompt=["a", "b"], n=2)
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    assert [job.text for job in served.executor.jobs] == ["a", "a", "b", "b"]
    assert body["usage"]["prompt_tokens"] == 14
    assert body["usage"]["completion_tokens"] == 12


async def test_tokens(served: Served) -> None:
    await complete(served, prompt=[1, 2])
    await complete(served, prompt=[[1, 2], [3]])
    assert [job.tokens for job in served.executor.jobs] == [(1, 2), (1, 2), (3,)]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt[1]"),
        ({"prompt": [1, "a"]}, "prompt[0]"),
        ({"prompt": [[1], []]}, "prompt[1]"),
        ({"prompt": [-1]}, "prompt[0]"),
        ({"prompt": ["a"] * 17}, "prompt"),
        ({"echo": True}, "echo"),
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"grammar": "root ::= x"}, "grammar"),
        ({"logprobs": 21}, "logprobs"),
    ],
)
async def test_bad_input_names_the_field(served: Served, fields: dict[str, Any], param: str) -> None:
    assert (await complete(served, 400, **fields))["error"]["param"] == param


async def test_a_gap_is_filled_by_models_that_can(served: Served) -> None:
    served.models.models["tiny"] = structs.replace(served.models.get("tiny"), capabilities=("completion", "insert"))
    await complete(served, prompt=["def a(", "x"], suffix="):")
    assert [(job.text, job.suffix) for job in served.executor.jobs] == [("def a(", "):"), ("x", "):")]
    assert (await complete(served, 400, prompt=[[1, 2]], suffix="x"))["error"]["param"] == "suffix"
    await complete(served, prompt="", suffix="x")
    await complete(served, prompt="x", suffix="")
    assert [job.suffix for job in served.executor.jobs[2:]] == ["x", None]


async def test_harmless_values_pass(served: Served) -> None:
    await complete(served, echo=False, suffix="", best_of=1, logprobs=None, user="me", unknown=[1])


async def test_logprobs(served: Served) -> None:
    logprobs = (await complete(served, logprobs=1))["choices"][0]["logprobs"]
    assert logprobs["tokens"] == ["Hello", ", ", "world"]
    assert logprobs["text_offset"] == [0, 5, 7]
    assert logprobs["top_logprobs"][0] == {"Hello0": -1.0}
    assert (await complete(served, logprobs=0))["choices"][0]["logprobs"]["top_logprobs"] is None


async def test_a_stream_says_the_same(served: Served) -> None:
    body = {"prompt": ["a", "b"], "stream": True, "logprobs": 1, "stream_options": {"include_usage": True}}
    async with served.client.post(served.url + "/v1/completions", json=body) as response:
        got = events(await response.read())
    assert got[-1] == "[DONE]"
    chunks = [msgspec.convert(event, Completion, strict=True) for event in got[:-1]]
    for index in (0, 1):
        mine = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert "".join(choice.text for choice in mine) == "Hello, world"
        assert [choice.finish_reason for choice in mine] == [None, None, None, "stop"]
        assert [choice.logprobs.text_offset for choice in mine if choice.logprobs] == [[0], [5], [7]]
    assert got[-2]["choices"] == []
    assert got[-2]["usage"]["total_tokens"] == 20
    assert all(event["usage"] is None for event in got[:-2])


async def test_reasoning_stays_in_the_text() -> None:
    deltas = [Delta(job="", tokens=(1,), reasoning="Hm."), Delta(job="", tokens=(2,), text="Yes.")]
    async with serve(FakeExecutor(deltas)) as served:
        assert (await complete(served))["choices"][0]["text"] == "Hm.Yes."
        async with served.client.post(served.url + "/v1/completions", json={"prompt": "x", "stream": True}) as response:
            got = events(await response.read())
    assert "".join(event["choices"][0]["text"] for event in got[:-1]) == "Hm.Yes."
