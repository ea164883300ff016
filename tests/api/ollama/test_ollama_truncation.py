"""What the context cannot hold: the oldest messages go, unless the client forbids it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakes.executor import FakeExecutor
from fakes.served import Served, serve

from mongarsd.ground.errors import ContextOverflow
from mongarsd.ground.job import Event, Job

LIMIT = 40  # words


class Small(FakeExecutor):
    """A context of `LIMIT` tokens, one a word."""

    async def run(self, job: Job) -> AsyncIterator[Event]:
        words = sum(len(message.content.split()) for message in job.messages or ())
        if words >= LIMIT:
            raise ContextOverflow(f"{words} of {LIMIT}", prompt=words, limit=LIMIT)
        async for event in super().run(job):
            yield event


def talk(questions: int) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}]
    for number in range(questions):
        said += [{"role": "user", "content": f"{number} or what?"}, {"role": "assistant", "content": "I think so."}]
    return [*said, {"role": "user", "content": "The last one?"}]


async def post(served: Served, status: int, **body: Any) -> str:
    async with served.client.post(served.url + "/api/chat", json={"model": "tiny", **body}) as response:
        text = await response.text()
        assert response.status == status, text
        return text


@pytest.mark.parametrize("truncate", [True, None])
@pytest.mark.parametrize("stream", [True, False])
async def test_the_oldest_messages_go(truncate: bool | None, stream: bool) -> None:
    async with serve(Small()) as served:
        text = await post(served, 200, messages=talk(50), truncate=truncate, stream=stream)
        assert json.loads(text.splitlines()[-1])["done"]
        (job,) = served.executor.jobs
    left = [(one.role, one.content) for one in job.messages or ()]
    assert left[0] == ("system", "Be brief.")
    assert left[1][0] == "user"
    assert left[-1] == ("user", "The last one?")
    assert left[1:] == [(one["role"], one["content"]) for one in talk(50)][-len(left) + 1 :]
    assert len(left) > 5, "no more goes than must"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        {"messages": talk(50), "truncate": False},
        {"messages": [*talk(50), {"role": "user", "content": "word " * LIMIT}]},
    ],
)
async def test_what_may_not_go_or_does_not_fit_alone_is_refused(body: dict[str, Any], stream: bool) -> None:
    async with serve(Small()) as served:
        answer = json.loads(await post(served, 400, **body, stream=stream))
        assert answer["code"] == "context_length_exceeded"
        assert answer["limit"] == LIMIT
        assert not served.executor.jobs


async def test_openai_clients_are_told() -> None:
    async with serve(Small()) as served:
        answer = await served.chat(400, messages=talk(50))
        assert answer["error"]["code"] == "context_length_exceeded"
