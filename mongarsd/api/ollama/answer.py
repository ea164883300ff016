"""The part of an answer that chat and generate share: lines as tokens come, or all in one."""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec
from aiohttp import web
from msgspec import UNSET

from mongarsd.api.credentials import account
from mongarsd.api.ollama.answers import OllamaCall, OllamaChatLine, OllamaGenerateLine, OllamaLogprob, OllamaToken
from mongarsd.api.ollama.calls import Calls
from mongarsd.api.ollama.keep_alive import keeping
from mongarsd.api.ollama.lines import LineStream
from mongarsd.api.ollama.times import nanoseconds, stamp
from mongarsd.api.ollama.truncation import follow_cut, follow_whole
from mongarsd.api.openai.answer import Collected, finish_word, json
from mongarsd.api.openai.jobs import Order, order_of
from mongarsd.api.openai.logprobs import finite
from mongarsd.api.parts import PARTS, Parts
from mongarsd.ground.errors import Conflict
from mongarsd.ground.job import Delta, Finished, Job, TokenLogprob
from mongarsd.ground.status import ModelStatus

Line = OllamaChatLine | OllamaGenerateLine


class Make(Protocol):
    """One line. `common`: the fields that both kinds have."""

    def __call__(self, text: str, thinking: str, calls: list[OllamaCall], **common: Any) -> Line: ...


class Asked:
    """What an answer is made from, beside its job."""

    def __init__(
        self,
        request: web.Request,
        name: str,
        model: ModelStatus,
        make: Make,
        kept: float | None,
        *,
        truncate: bool | None,
    ) -> None:
        """`name`: as the client said it. `kept`: seconds that the model stays in memory afterwards.
        `truncate`: what the context cannot hold is left out, not refused; None = yes."""
        self.request, self.model, self.kept = request, model, kept
        self.follow = follow_whole if truncate is False else follow_cut
        self.parts: Parts = request.app[PARTS]
        self._name, self._make = name, make
        self._begin = self.parts.clock.monotonic()

    @property
    def order(self) -> Order:
        return order_of(self.model, account(self.request), self.parts.settings.inference.max_tokens)

    def line(self, text: str = "", thinking: str = "", calls: Iterable[OllamaCall] = (), **common: Any) -> Line:
        created = stamp(self.parts.clock.wall())
        return self._make(text, thinking, list(calls), model=self._name, created_at=created, **common)

    def last(self, end: Finished) -> dict[str, Any]:
        """The fields of a last line."""
        total = self.parts.clock.monotonic() - self._begin
        return {
            "done": True,
            "done_reason": finish_word(end),
            "total_duration": nanoseconds(total),
            "load_duration": nanoseconds(total - end.timings.prefill - end.timings.decode),
            "prompt_eval_count": end.usage.prompt,
            "prompt_eval_duration": nanoseconds(end.timings.prefill),
            "eval_count": end.usage.completion,
            "eval_duration": nanoseconds(end.timings.decode),
        }


async def respond(asked: Asked, job: Job, stream: bool | None) -> web.StreamResponse:
    """Raises MongarsError before the first line; later ones are the last line."""
    with keeping(asked.parts, asked.model, asked.kept):
        return await (_whole(asked, job) if stream is False else _stream(asked, job))


async def load(asked: Asked) -> web.Response:
    """Into memory, or out of it when it is to be kept for 0 seconds; then as soon as it is idle."""
    models, digest = asked.parts.models, asked.model.base or asked.model.digest
    if asked.kept == 0:
        models.keep_alive(digest, 0)
        with contextlib.suppress(Conflict):  # it is answering, and goes with its last answer
            await models.unload(digest)
        return json(asked.line(done=True, done_reason="unload"))
    with keeping(asked.parts, asked.model, asked.kept):
        await models.load(asked.model.name)
    return json(asked.line(done=True, done_reason="load"))


async def _whole(asked: Asked, job: Job) -> web.Response:
    collected = Collected()
    end = await asked.follow(asked.parts, job, collected.add)
    calls = Calls()
    whole = [*calls.add(collected.calls), *calls.end()]
    logprobs = _logprobs(collected.logprobs, codecs.getincrementaldecoder("utf-8")("replace"))
    text = collected.text + calls.broken
    return json(asked.line(text, collected.reasoning, whole, logprobs=logprobs, **asked.last(end)))


async def _stream(asked: Asked, job: Job) -> web.StreamResponse:
    calls = Calls()
    letters = codecs.getincrementaldecoder("utf-8")("replace")
    ping = _encode(asked.line())

    async with LineStream(asked.request, asked.parts.settings.server.ping_interval, ping) as out:

        async def deliver(delta: Delta) -> None:
            ready = calls.add(delta.calls)
            if delta.text or delta.reasoning or ready or delta.logprobs:
                logprobs = _logprobs(delta.logprobs, letters)
                await out.send(_encode(asked.line(delta.text, delta.reasoning, ready, logprobs=logprobs)))

        end = await asked.follow(asked.parts, job, deliver)
        if (rest := calls.end()) or calls.broken:
            await out.send(_encode(asked.line(calls.broken, calls=rest)))
        await out.send(_encode(asked.line(**asked.last(end))))
    return out.response


def _encode(line: Line) -> bytes:
    return msgspec.json.encode(line) + b"\n"


def _logprobs(tokens: Iterable[TokenLogprob], letters: codecs.IncrementalDecoder) -> Any:
    """UNSET for none. A token that is part of a letter gives its text to the one that completes it."""
    return [
        OllamaLogprob(
            letters.decode(token.piece),
            finite(token.logprob),
            list(token.piece),
            [OllamaToken(p.decode("utf-8", "replace"), finite(value), list(p)) for _, p, value in token.top] or UNSET,
        )
        for token in tokens
    ] or UNSET
