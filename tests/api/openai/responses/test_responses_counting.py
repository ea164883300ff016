"""Counting with the real openai library."""

from __future__ import annotations

import openai
import pytest
from fakes.served import Served

from mongarsd.ground.errors import ContextOverflow
from mongarsd.memory.room import Memory


def library(served: Served) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=served.url + "/v1", api_key="none", max_retries=0)


async def test_counting_prepares_the_same_prompt_and_keeps_nothing(keeping: Served, memory: Memory) -> None:
    async with library(keeping) as api:
        first = await api.responses.create(model="tiny", input="one")
        more = {"input": "two", "instructions": "Be brief.", "previous_response_id": first.id}
        counted = await api.responses.input_tokens.count(model="tiny", **more)  # type: ignore[arg-type]
        assert (counted.object, counted.input_tokens) == ("response.input_tokens", 7)
        (before,) = (await memory.conversations.list("local")).items
        assert before.turns == 2
        await api.responses.create(model="tiny", **more)  # type: ignore[call-overload]
    _, count, job = keeping.executor.jobs
    assert (count.count, job.count) == (True, False)
    assert count.messages == job.messages


async def test_counting_obeys_no_order_to_remember(keeping: Served, memory: Memory) -> None:
    await memory.accounts.change("local", remember=True)
    async with library(keeping) as api:
        await api.responses.input_tokens.count(model="tiny", input="Remember that the key is under the pot.")
        assert not (await memory.recall.page("local")).items
        await api.responses.create(model="tiny", input="Remember that the key is under the pot.")
        assert (await memory.recall.page("local")).items


async def test_what_is_wrong_is_said_as_it_would_be(keeping: Served) -> None:
    async with library(keeping) as api:
        with pytest.raises(openai.NotFoundError, match="resp_1"):
            await api.responses.input_tokens.count(model="tiny", input="x", previous_response_id="resp_1")
        with pytest.raises(openai.BadRequestError, match="input: required"):
            await api.responses.input_tokens.count(model="tiny")
        keeping.executor.refuse = ContextOverflow("too long", prompt=9, limit=8)
        with pytest.raises(openai.BadRequestError) as caught:
            await api.responses.input_tokens.count(model="tiny", input="x")
    assert (caught.value.param, caught.value.code) == ("input", "context_length_exceeded")
