"""A job whose answer is known already is answered from RAM: the same events, in no time.

That is so for jobs with one possible answer: temperature 0, or a seed that somebody gave. A request says
`Cache-Control: no-cache` to be computed anew, and `no-store` to leave nothing behind; its answer says `X-Cache`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from contextvars import ContextVar
from typing import Literal, cast

import msgspec
from aiohttp import web
from msgspec import structs

from mongarsd.api.errors import Handler
from mongarsd.api.stored_answers import StoredAnswers
from mongarsd.ground.executor import Estimate, Executor
from mongarsd.ground.job import Event, Failed, Finished, FinishReason, Job, Priority, Started, Timings

HEADER = "X-Cache"
Said = Literal["hit", "miss", "off"]

_encode = msgspec.msgpack.Encoder().encode


@functools.cache
def _decoder() -> msgspec.msgpack.Decoder[list[Event]]:
    """Made when first needed: it costs 0.2 MB."""
    return msgspec.msgpack.Decoder(list[Event])


class Use:
    """One request's: what it wants, and what became of its jobs."""

    def __init__(self, directives: frozenset[str] = frozenset()) -> None:
        self.stores = "no-store" not in directives
        self.looks = self.stores and "no-cache" not in directives
        self._said: set[Said] = set()

    def say(self, what: Said) -> None:
        self._said.add(what)

    @property
    def said(self) -> Said | None:
        """Of several jobs: one that was computed makes a miss. None = no job was run."""
        words: tuple[Said, ...] = ("miss", "off", "hit")
        return next((word for word in words if word in self._said), None)


#: Between the request and the executor, which knows no requests. Work that no request asked for has none.
_USE: ContextVar[Use | None] = ContextVar("use", default=None)
_OF: web.RequestKey[Use] = web.RequestKey("use", Use)


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    header = ",".join(request.headers.getall("Cache-Control", []))
    use = Use(frozenset(word.partition("=")[0].strip().lower() for word in header.split(",")))
    request[_OF] = use
    token = _USE.set(use)
    try:
        return await handler(request)
    finally:
        _USE.reset(token)


def headers(request: web.Request) -> dict[str, str]:
    """For the answer; known as soon as its first job was handed over."""
    use = request.get(_OF)
    return {HEADER: use.said} if use and use.said else {}


class Reusing:
    """An executor before another one."""

    def __init__(self, executor: Executor, answers: StoredAnswers) -> None:
        self._executor, self._answers = executor, answers

    def estimate(self, job: Job) -> Estimate:
        return self._executor.estimate(job)

    def run(self, job: Job) -> AsyncIterator[Event]:
        """As Executor.run."""
        use = _USE.get()
        if use and use.stores and self._answers.on and _one_answer(job):
            return self._reused(job, use)
        if use and _answers(job):
            use.say("off")
        return self._executor.run(job)

    async def _reused(self, job: Job, use: Use) -> AsyncIterator[Event]:
        key = key_of(job)
        if not use.looks:
            self._answers.missed()
        elif content := self._answers.get(key):
            use.say("hit")
            for event in _decoder().decode(content):
                yield structs.replace(event, job=job.id)
            return
        use.say("miss")
        record = _Record(self._answers.largest)
        async with aclosing(cast(AsyncGenerator[Event, None], self._executor.run(job))) as events:
            async for event in events:
                if record.add(event) and type(event) is Finished and _complete(event, job):
                    self._answers.put(key, record.content)
                yield event


class _Record:
    """The events of an answer as they will be told again: without what was true only once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[bytes] = []
        self._bytes = 0

    def add(self, event: Event) -> bool:
        """False: this answer is not to be kept."""
        if self._bytes > self._most or type(event) is Failed:
            return False
        if type(event) is Started and self._parts:
            return True  # carried on after a crash
        if type(event) is Started:
            event = structs.replace(event, queue=0.0, restarted=False)
        elif type(event) is Finished:
            event = structs.replace(event, timings=Timings())
        part = _encode(structs.replace(event, job=""))
        self._parts.append(part)
        self._bytes += len(part)
        return self._bytes <= self._most

    @property
    def content(self) -> bytes:
        return _encode([msgspec.Raw(part) for part in self._parts])


def key_of(job: Job) -> bytes:
    """All that decides the answer, and whose it is: an account is never told what another one was."""
    sampling = structs.replace(job.sampling, seed=0) if job.sampling.greedy else job.sampling
    same = structs.replace(job, id="", priority=Priority.INTERACTIVE, deadline=None, seeded=False, sampling=sampling)
    return hashlib.blake2b(_encode(same), digest_size=32).digest()


def _answers(job: Job) -> bool:
    """Not a job for vectors, scores or a number."""
    return job.embed is None and job.rerank is None and not job.count


def _one_answer(job: Job) -> bool:
    return _answers(job) and not job.produced and (job.seeded or job.sampling.greedy)


def _complete(end: Finished, job: Job) -> bool:
    """Neither cut by the clock or a client that went, nor by a context that may be larger tomorrow."""
    if end.reason is FinishReason.LENGTH:
        return end.usage.completion == job.max_tokens
    return end.reason is FinishReason.STOP
