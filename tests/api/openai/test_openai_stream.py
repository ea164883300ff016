from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from fakes.executor import FakeExecutor, Phase
from fakes.served import Served, serve
from fakes.sse import events, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongarsd.api.openai.answers import ChatChunk
from mongarsd.api.openai.chunks import ChatChunks, CompletionChunks, Head
from mongarsd.ground.errors import ErrorInfo
from mongarsd.ground.job import Delta

HEAD = Head("chatcmpl-1", 1, 'a "name"\n', "mongarsd-0")


async def stream(served: Served, **fields: Any) -> bytes:
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True, **fields}
    async with served.client.post(served.url + "/v1/chat/completions", json=body) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        return await response.read()


async def pinged(served: Served, times: int) -> list[Any]:
    """The events of a stream that may go on once it was pinged so many times."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
    async with served.client.post(served.url + "/v1/chat/completions", json=body) as response:
        assert response.status == 200
        told = b""
        while told.count(b": ping\n\n") < times:
            told += await response.content.readuntil(b"\n\n")
        served.executor.release()
        return events(told + await response.read())


async def test_the_shape(served: Served) -> None:
    got = events(await stream(served))
    assert got.pop() == "[DONE]"
    chunks = [msgspec.convert(event, ChatChunk, strict=True) for event in got]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert got[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all("role" not in event["choices"][0]["delta"] for event in got[1:])
    assert [event["choices"][0]["finish_reason"] for event in got] == [None, None, None, None, "stop"]
    assert got[-1]["choices"][0]["delta"] == {}
    assert got[-1]["timings"]["predicted_n"] == 3
    assert text(got) == "Hello, world"
    assert all("usage" not in event for event in got)


async def test_usage_comes_before_the_end(served: Served) -> None:
    got = events(await stream(served, stream_options={"include_usage": True}))
    assert got[-2]["choices"] == []
    assert got[-2]["usage"]["completion_tokens"] == 3
    assert all(event["usage"] is None for event in got[:-2])


async def test_choices_come_mixed_and_whole(served: Served) -> None:
    got = events(await stream(served, n=4))
    assert [text(got, index) for index in range(4)] == ["Hello, world"] * 4
    roles = [event["choices"][0]["index"] for event in got[:-1] if "role" in event["choices"][0]["delta"]]
    assert sorted(roles) == [0, 1, 2, 3]


async def test_nothing_to_say_is_still_an_answer() -> None:
    async with serve(FakeExecutor([])) as served:
        got = events(await stream(served))
    assert [event["choices"][0]["finish_reason"] for event in got[:-1]] == [None, "stop"]
    assert got[0]["choices"][0]["delta"]["role"] == "assistant"


async def test_reasoning_and_logprobs() -> None:
    deltas = [Delta(job="", tokens=(1,), reasoning="Hm."), Delta(job="", tokens=(2,), text="Yes", reasoning="!")]
    async with serve(FakeExecutor([*deltas, "."])) as served:
        got = events(await stream(served, logprobs=True))
    says = [event["choices"][0]["delta"] for event in got[1:-2]]
    assert says == [{"reasoning_content": "Hm."}, {"reasoning_content": "!", "content": "Yes"}, {"content": "."}]
    assert got[3]["choices"][0]["logprobs"]["content"][0]["token"] == "."


@pytest.mark.parametrize("phase", ["queue", "prefill", "decode"])
async def test_pings_while_nothing_happens(phase: Phase) -> None:
    executor = FakeExecutor(hold=phase)
    async with serve(executor, ping_interval=0.02) as served:
        got = await pinged(served, 2)
    assert text(got) == "Hello, world"


async def test_no_pings_when_switched_off() -> None:
    executor = FakeExecutor(hold="queue")
    async with serve(executor, ping_interval=0) as served:
        asyncio.get_running_loop().call_later(0.05, executor.release)
        assert b"ping" not in await stream(served)


@pytest.mark.parametrize("n", [1, 3])
async def test_a_failure_in_mid_stream_is_the_last_event(n: int) -> None:
    async with serve(FakeExecutor(fail=ErrorInfo("worker_crashed", "twice"))) as served:
        got = events(await stream(served, n=n))
        assert got[-1]["error"]["code"] == "worker_crashed"
        assert got[-1]["error"]["message"] == "twice"
        assert "[DONE]" not in got
        assert served.executor.running == 0


async def test_a_failure_before_the_first_token_has_its_status() -> None:
    async with serve(FakeExecutor([], fail=ErrorInfo("worker_crashed", "twice"))) as served:
        body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
        await served.json("POST", "/v1/chat/completions", 500, json=body)


async def test_a_refusal_after_a_ping_is_an_event() -> None:
    executor = FakeExecutor([], hold="prefill", fail=ErrorInfo("busy", "full", detail={"retry_after": 3}))
    async with serve(executor, ping_interval=0.02) as served:
        assert (await pinged(served, 1))[-1]["error"]["retry_after"] == 3


TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=20)


@given(TEXTS)
def test_any_text_in_any_pieces_comes_out_whole(pieces: list[str]) -> None:
    chat, plain = ChatChunks(HEAD, usage=False), CompletionChunks(HEAD, usage=True)
    deltas = [Delta(job="", tokens=(1,), text=piece) for piece in pieces]
    body = chat.first(3) + b"".join(chat.delta(3, delta) for delta in deltas) + chat.last(3, "stop", None)
    assert text(events(body), 3) == "".join(pieces)
    for event in events(body):
        assert msgspec.convert(event, ChatChunk, strict=True).model == HEAD.model
    body = b"".join(plain.delta(0, delta) for delta in deltas) + plain.last(0, "stop", None)
    assert "".join(event["choices"][0]["text"] for event in events(body)) == "".join(pieces)


@given(TEXTS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_same_over_http(pieces: list[str]) -> None:
    async with serve(FakeExecutor(pieces)) as served:
        assert text(events(await stream(served))) == "".join(pieces)
