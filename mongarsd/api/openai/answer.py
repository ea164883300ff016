"""The part of an answer that chat and plain completions share: the whole of a stream, and the pieces of a plain one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from aiohttp import web
from msgspec import structs

from mongarsd.api.openai.answers import FinishWord
from mongarsd.api.openai.chunks import Chunks
from mongarsd.api.openai.jobs import Order, order_of
from mongarsd.api.openai.requests import Options
from mongarsd.api.openai.run import follow, together
from mongarsd.api.openai.stream import DONE, EventStream
from mongarsd.api.openai.usage import timings, usage
from mongarsd.api.parts import PARTS, Parts
from mongarsd.ground.errors import BadRequest, ModelNotFound
from mongarsd.ground.job import Delta, Finished, FinishReason, Job, TokenLogprob, ToolCall
from mongarsd.ground.status import ModelStatus


class Collected:
    """All that a job said. `said` has reasoning and text in the order they came."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._said: list[str] = []
        self.logprobs: list[TokenLogprob] = []
        self._calls: list[list[ToolCall]] = []  # the pieces of each

    async def add(self, delta: Delta) -> None:
        self._text.append(delta.text)
        self._reasoning.append(delta.reasoning)
        self._said.append(delta.reasoning + delta.text)
        self.logprobs.extend(delta.logprobs)
        for piece in delta.calls:
            if piece.name:
                self._calls.append([])
            self._calls[-1].append(piece)

    @property
    def calls(self) -> list[ToolCall]:
        """Whole ones."""
        return [structs.replace(one[0], arguments="".join(piece.arguments for piece in one)) for one in self._calls]

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    @property
    def said(self) -> str:
        return "".join(self._said)


class Keeps(Protocol):
    """Stores the first choice of an answer before the answer ends."""

    headers: dict[str, str]

    async def answered(self, collected: Collected, end: Finished) -> None: ...


def accept(parts: Parts, account: str, options: Options) -> tuple[ModelStatus, Order]:
    """The model that is meant, and what its jobs share. Raises ModelNotFound, BadRequest."""
    try:
        model = parts.models.get(options.model or parts.settings.models.default)
    except ModelNotFound as error:
        error.param = "model"
        raise
    if model.kind != "chat":
        does, where = ("makes embeddings", "embeddings") if model.kind == "embedding" else ("ranks documents", "rerank")
        raise BadRequest(f"model: {model.name} {does} and answers nothing: see /v1/{where}", param="model")
    parts.used.add(model)
    return model, order_of(model, account, parts.settings.inference.max_tokens)


async def collect(parts: Parts, jobs: Sequence[Job]) -> list[tuple[Collected, Finished]]:
    """Run all jobs to their end. Raises MongarsError."""

    async def one(job: Job) -> tuple[Collected, Finished]:
        collected = Collected()
        return collected, await follow(parts, job, collected.add)

    return await together([one(job) for job in jobs])


async def stream(
    request: web.Request,
    jobs: Sequence[Job],
    chunks: Chunks,
    *,
    n: int,
    include_usage: bool,
    kept: Keeps | None = None,
) -> web.StreamResponse:
    """All jobs into one event stream, each choice as its tokens come. Raises MongarsError before the first event."""
    parts = request.app[PARTS]
    first = Collected()
    async with EventStream(request, parts.settings.server.ping_interval, kept.headers if kept else {}) as out:

        async def one(index: int, job: Job) -> Finished:
            head = chunks.first(index)
            called = False

            async def deliver(delta: Delta) -> None:
                nonlocal head, called
                called = called or bool(delta.calls)
                if kept and index == 0:
                    await first.add(delta)
                if event := chunks.delta(index, delta):
                    await out.send(head + event)
                    head = b""

            end = await follow(parts, job, deliver)
            word = finish_word(end, called)
            await out.send(head + chunks.last(index, word, timings(end) if len(jobs) == 1 else None))
            return end

        ends = await together([one(index, job) for index, job in enumerate(jobs)])
        if kept:
            await kept.answered(first, ends[0])
        await out.send((chunks.usage(usage(ends, n)) if include_usage else b"") + DONE)
    return out.response


def finish_word(end: Finished, called: bool = False) -> FinishWord:
    """`called`: the answer has tool calls."""
    if end.reason is not FinishReason.STOP:
        return "length"
    return "tool_calls" if called else "stop"


def wants_usage(options: Options) -> bool:
    return bool(options.stream_options and options.stream_options.include_usage)


def json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
