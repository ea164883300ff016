"""What the context cannot hold: the oldest messages go, then the middle of long texts, unless the client forbids it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakes.executor import FakeExecutor
from fakes.served import Served, serve
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.api.ollama.truncation import LEAST, MARK, cut, fitting
from mongarsd.ground.errors import ContextOverflow
from mongarsd.ground.job import Event, Job, Message

LIMIT = 160  # words


class Small(FakeExecutor):
    """A context of `LIMIT` tokens, one a word."""

    async def run(self, job: Job) -> AsyncIterator[Event]:
        said = [job.text or "", *(message.content for message in job.messages or ())]
        words = sum(len(text.split()) for text in said) + len(str(job.tools).split())
        if words >= LIMIT:
            raise ContextOverflow(f"{words} of {LIMIT}", prompt=words, limit=LIMIT)
        async for event in super().run(job):
            yield event


def talk(questions: int) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}]
    for number in range(questions):
        said += [{"role": "user", "content": f"{number} or what?"}, {"role": "assistant", "content": "I think so."}]
    return [*said, {"role": "user", "content": "The last one?"}]


async def post(served: Served, status: int, path: str = "/api/chat", **body: Any) -> str:
    async with served.client.post(served.url + path, json={"model": "tiny", **body}) as response:
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


LONG = "First: " + "word " * 3000 + "and last"
FORM = {"type": "object", "properties": {}}
WEATHER: dict[str, Any] = {"type": "function", "function": {"name": "weather", "parameters": FORM}}
LEARNED = {"type": "function", "function": {"name": "learned", "description": "word " * LIMIT, "parameters": FORM}}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_question_that_is_too_long_loses_its_middle(stream: bool) -> None:
    async with serve(Small()) as served:
        await post(served, 200, messages=[*talk(50), {"role": "user", "content": LONG}], stream=stream)
        (job,) = served.executor.jobs
    system, question = job.messages or ()
    assert (system.role, system.content) == ("system", "Be brief.")
    assert question.content.startswith("First: word")
    assert question.content.endswith("word and last")
    assert MARK in question.content


async def test_rounds_of_tools_lose_the_middle_of_their_results() -> None:
    """Home Assistant sends up to ten rounds after one question; their order and calls stay as they are."""
    said: list[dict[str, Any]] = [*talk(1)]
    for _ in range(3):
        said.append({"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": {}}}]})
        said.append({"role": "tool", "content": "rain " * 2000})
    async with serve(Small()) as served:
        await post(served, 200, messages=said, tools=[WEATHER])
        (job,) = served.executor.jobs
    assert [one.role for one in job.messages or ()][-6:] == ["assistant", "tool"] * 3
    assert all(MARK in one.content for one in job.messages or () if one.role == "tool")


async def test_a_prompt_that_is_too_long_is_cut() -> None:
    async with serve(Small()) as served:
        await post(served, 200, "/api/generate", prompt=LONG, system="Be brief.")
        await post(served, 200, "/api/generate", prompt=LONG, raw=True, shift=False)
        framed, raw = served.executor.jobs
    assert [one.role for one in framed.messages or ()] == ["system", "user"]
    assert (framed.messages or ())[1].content.endswith("word and last")
    assert raw.text
    assert LONG.endswith(raw.text), "what a raw prompt ends with is what is continued"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"messages": talk(50), "truncate": False}),
        ("/api/chat", {"messages": [*talk(50), {"role": "user", "content": LONG}], "tools": [LEARNED]}),
        ("/api/generate", {"prompt": LONG, "truncate": False}),
        ("/api/generate", {"prompt": LONG, "raw": True, "truncate": False}),
    ],
)
async def test_what_may_not_go_or_does_not_fit_alone_is_refused(path: str, body: dict[str, Any], stream: bool) -> None:
    async with serve(Small()) as served:
        answer = json.loads(await post(served, 400, path, **body, stream=stream))
        assert answer["error"].startswith("the input length exceeds the context length: ")
        assert answer["code"] == "context_length_exceeded"
        assert answer["limit"] == LIMIT
        assert not served.executor.jobs


ROLES = st.sampled_from(["system", "user", "assistant", "tool"])
TEXTS = st.integers(0, 3000).map(lambda length: ("abcdefgh" * 400)[:length])
MESSAGES = st.lists(st.builds(Message, role=ROLES, content=TEXTS), max_size=6)


@given(MESSAGES, st.integers(1, 100_000), st.integers(1, 4096))
def test_what_is_cut_is_shorter_and_stays_in_its_place(said: list[Message], more: int, limit: int) -> None:
    prompt, rounds = limit + more, 0
    left: tuple[Message, ...] | None = tuple(said)
    while left := cut(before := left, prompt, limit):
        rounds += 1
        assert [one.role for one in left] == [one.role for one in said]
        assert sum(len(one.content) for one in left) < sum(len(one.content) for one in before)
        for old, new in zip(before, left, strict=True):
            assert new == old or len(new.content) < len(old.content)
            head, _, tail = new.content.partition(MARK)
            assert new == old or (old.content.startswith(head) and old.content.endswith(tail.rpartition(MARK)[2]))
        assert rounds < 100
    assert all(len(one.content) <= LEAST for one in before)


def test_what_is_short_already_is_not_cut() -> None:
    assert fitting(Job(id="", model="m", text="x" * LEAST), 9, 5) is None
    assert fitting(Job(id="", model="m", messages=(Message(role="user", content="x" * LEAST),)), 9, 5) is None
    assert fitting(Job(id="", model="m", tokens=(1,) * 9), 9, 5) is None


def test_instructions_are_cut_last() -> None:
    said = [Message(role="system", content="s" * 5000), Message(role="user", content="u" * 3000)]
    system, user = cut(said, 1000, 900) or ()
    assert (len(system.content), len(user.content) < 1500) == (5000, True)
    system, user = cut(said, 1000, 100) or ()
    assert len(system.content) == len(user.content) < 500


async def test_openai_clients_are_told() -> None:
    async with serve(Small()) as served:
        answer = await served.chat(400, messages=talk(50))
        assert answer["error"]["code"] == "context_length_exceeded"
