"""The real openai-python, against the fake executor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import openai
import pytest
from fakes.executor import FakeExecutor
from fakes.pool import until
from fakes.served import Served, serve

from mongarsd.ground import errors
from mongarsd.ground.errors import ErrorInfo

T = TypeVar("T")
TURN: list[Any] = [{"role": "user", "content": "Hi"}]


def client(served: Served, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=served.url + "/v1", **{"api_key": "none", "max_retries": 0, **options})


async def in_thread(served: Served, work: Callable[[openai.OpenAI], T]) -> T:
    def call() -> T:
        with openai.OpenAI(base_url=served.url + "/v1", api_key="none", max_retries=0) as sync:
            return work(sync)

    return await asyncio.to_thread(call)


async def test_chat_async(served: Served) -> None:
    async with client(served) as api:
        answer = await api.chat.completions.create(model="tiny", messages=TURN, logprobs=True, top_logprobs=1, n=2)
        assert [choice.message.content for choice in answer.choices] == ["Hello, world"] * 2
        assert answer.choices[0].logprobs is not None
        assert answer.choices[0].logprobs.content is not None
        assert answer.choices[0].logprobs.content[0].top_logprobs[0].logprob == -1.0
        assert answer.usage is not None
        assert answer.usage.total_tokens == 13


async def test_chat_async_stream(served: Served) -> None:
    async with client(served) as api:
        stream = await api.chat.completions.create(
            model="tiny", messages=TURN, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello, world"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


async def test_the_stream_helper(served: Served) -> None:
    async with (
        client(served) as api,
        api.chat.completions.stream(model="tiny", messages=TURN) as stream,
    ):
        done = await stream.get_final_completion()
    assert done.choices[0].message.content == "Hello, world"
    assert done.choices[0].finish_reason == "stop"


async def test_chat_sync(served: Served) -> None:
    answer = await in_thread(served, lambda api: api.chat.completions.create(model="tiny", messages=TURN))
    assert answer.choices[0].message.content == "Hello, world"


async def test_chat_sync_stream(served: Served) -> None:
    def work(api: openai.OpenAI) -> str:
        stream = api.chat.completions.create(model="tiny", messages=TURN, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    assert await in_thread(served, work) == "Hello, world"


async def test_completions(served: Served) -> None:
    async with client(served) as api:
        answer = await api.completions.create(model="tiny", prompt=["a", "b"], logprobs=2)
        assert [choice.text for choice in answer.choices] == ["Hello, world"] * 2
        assert answer.choices[1].logprobs is not None
        assert answer.choices[1].logprobs.text_offset == [0, 5, 7]
        stream = await api.completions.create(model="tiny", prompt="a", stream=True)
        assert "".join([chunk.choices[0].text async for chunk in stream]) == "Hello, world"


async def test_models(served: Served) -> None:
    async with client(served) as api:
        assert [model.id async for model in api.models.list()] == ["tiny"]
        assert (await api.models.retrieve("tiny")).created == 1_700_000_000
        with pytest.raises(openai.NotFoundError):
            await api.models.retrieve("nope")


@pytest.mark.parametrize(
    ("refuse", "kind"),
    [
        (errors.ContextOverflow("too long", param="messages"), openai.BadRequestError),
        (errors.Forbidden("no"), openai.PermissionDeniedError),
        (errors.ModelNotFound("no"), openai.NotFoundError),
        (errors.Conflict("no"), openai.ConflictError),
        (errors.InvalidModel("no"), openai.BadRequestError),
        (errors.Busy("full"), openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_errors(refuse: errors.MongarsError, kind: type[openai.APIStatusError], stream: bool) -> None:
    async with serve(FakeExecutor(refuse=refuse)) as served, client(served) as api:
        with pytest.raises(kind) as caught:
            await api.chat.completions.create(model="tiny", messages=TURN, stream=stream)
    assert caught.value.code == refuse.code
    assert caught.value.param == refuse.param
    assert refuse.message in caught.value.message


async def test_a_bad_field_is_named(served: Served) -> None:
    async with client(served) as api:
        with pytest.raises(openai.BadRequestError) as caught:
            await api.chat.completions.create(model="tiny", messages=TURN, temperature=-1)
    assert caught.value.param == "temperature"


async def test_a_wrong_key() -> None:
    async with serve(key_hashes=("sha256:" + "0" * 64,)) as served, client(served) as api:
        with pytest.raises(openai.AuthenticationError):
            await api.models.list()


async def test_a_failure_in_mid_stream() -> None:
    async with serve(FakeExecutor(fail=ErrorInfo("worker_crashed", "twice"))) as served, client(served) as api:
        stream = await api.chat.completions.create(model="tiny", messages=TURN, stream=True)
        with pytest.raises(openai.APIError, match="twice"):
            [chunk async for chunk in stream]


@pytest.mark.parametrize(
    ("refuse", "tries"),
    [(errors.Busy("full", retry_after=0.01), 3), (errors.WorkerCrashed("twice"), 1), (errors.DoesNotFit("no"), 1)],
)
async def test_the_sdk_resends_only_what_is_worth_it(refuse: errors.MongarsError, tries: int) -> None:
    async with serve(FakeExecutor(refuse=refuse)) as served, client(served, max_retries=2) as api:
        with pytest.raises(openai.APIStatusError):
            await api.chat.completions.create(model="tiny", messages=TURN)
        assert len(served.executor.jobs) == tries


async def test_leaving_a_stream_frees_the_job() -> None:
    executor = FakeExecutor(hold="decode")
    async with serve(executor) as served, client(served) as api:
        stream = await api.chat.completions.create(model="tiny", messages=TURN, stream=True)
        async for _ in stream:
            break
        assert executor.running == 1
        await stream.close()
        await until(lambda: executor.running == 0)
