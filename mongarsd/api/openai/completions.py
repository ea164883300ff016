"""POST /v1/completions"""

from __future__ import annotations

import msgspec
from aiohttp import web

from mongarsd.api.body import decode
from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import Collected, accept, collect, finish_word, json, stream, wants_usage
from mongarsd.api.openai.answers import Completion, CompletionChoice
from mongarsd.api.openai.chunks import CompletionChunks, Head
from mongarsd.api.openai.forms import has_form
from mongarsd.api.openai.jobs import completion_jobs
from mongarsd.api.openai.logprobs import CompletionShape
from mongarsd.api.openai.requests import CompletionRequest
from mongarsd.api.openai.usage import timings, usage
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Finished

_decoder = msgspec.json.Decoder(CompletionRequest)


async def completions(request: web.Request) -> web.StreamResponse:
    parts = request.app[PARTS]
    body = await decode(request, _decoder)
    model, order = accept(parts, account(request), body)
    if body.suffix and "insert" not in model.capabilities:
        raise BadRequest(
            f"suffix: {model.name} was not trained to fill a gap in a text; take a model with `insert` among its "
            "capabilities",
            param="suffix",
        )
    jobs = await parts.aside(has_form(body), completion_jobs, body, order)
    n = body.n or 1
    head = Head.new("cmpl-", parts.clock.wall(), model.name, parts.version)
    if body.stream:
        include_usage = wants_usage(body)
        chunks = CompletionChunks(head, usage=include_usage, alternatives=body.logprobs or 0)
        return await stream(request, jobs, chunks, n=n, include_usage=include_usage)
    results = await collect(parts, jobs)
    ends = [end for _, end in results]
    return json(
        Completion(
            **head._asdict(),
            choices=[_choice(index, collected, end, body.logprobs) for index, (collected, end) in enumerate(results)],
            usage=usage(ends, n),
            timings=timings(ends[0]) if len(ends) == 1 else msgspec.UNSET,
        )
    )


def _choice(index: int, collected: Collected, end: Finished, alternatives: int | None) -> CompletionChoice:
    logprobs = None if alternatives is None else CompletionShape()(collected.logprobs, alternatives)
    return CompletionChoice(index, collected.said, logprobs, finish_word(end))
