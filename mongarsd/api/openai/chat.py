"""POST /v1/chat/completions"""

from __future__ import annotations

import msgspec
from aiohttp import web

from mongarsd.api.body import decode
from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import Collected, accept, collect, finish_word, json, stream, wants_usage
from mongarsd.api.openai.answers import AnswerMessage, AnswerToolCall, CalledFunction, ChatChoice, ChatCompletion
from mongarsd.api.openai.chunks import ChatChunks, Head
from mongarsd.api.openai.forms import has_form
from mongarsd.api.openai.functions import FunctionChunks, answered, as_tools, named_as_sent
from mongarsd.api.openai.jobs import chat_jobs
from mongarsd.api.openai.keeping import COMPLETION, keep
from mongarsd.api.openai.logprobs import chat_logprobs
from mongarsd.api.openai.recalling import with_memories
from mongarsd.api.openai.requests import ChatRequest
from mongarsd.api.openai.usage import timings, usage
from mongarsd.api.parts import PARTS
from mongarsd.ground.job import Finished

_decoder = msgspec.json.Decoder(ChatRequest)


async def chat_completions(request: web.Request) -> web.StreamResponse:
    parts = request.app[PARTS]
    sent = await decode(request, _decoder)
    body = as_tools(sent)
    model, order = accept(parts, account(request), body)
    with named_as_sent(sent):
        jobs = await parts.aside(has_form(body), chat_jobs, body, order)
    kept = await keep(request, body, model.name)
    jobs, memory = await with_memories(parts.memory, body.memory, jobs)
    head = Head.new(COMPLETION, parts.clock.wall(), model.name, parts.version)
    if kept:
        head = head._replace(id=kept.id, created=kept.created)
    if body.stream:
        include_usage = wants_usage(body)
        chunks = (FunctionChunks if sent.functions else ChatChunks)(head, usage=include_usage, memory=memory)
        return await stream(request, jobs, chunks, n=len(jobs), include_usage=include_usage, kept=kept)
    results = await collect(parts, jobs)
    if kept:
        await kept.answered(*results[0])
    ends = [end for _, end in results]
    choices = [_choice(index, collected, end, bool(body.logprobs)) for index, (collected, end) in enumerate(results)]
    completion = json(
        ChatCompletion(
            **head._asdict(),
            choices=[answered(choice) for choice in choices] if sent.functions else choices,
            usage=usage(ends, len(jobs)),
            timings=timings(ends[0]) if len(ends) == 1 else msgspec.UNSET,
            memory=memory,
        )
    )
    completion.headers.update(kept.headers if kept else {})
    return completion


def _choice(index: int, collected: Collected, end: Finished, logprobs: bool) -> ChatChoice:
    calls = [AnswerToolCall(id=call.id, function=CalledFunction(call.name, call.arguments)) for call in collected.calls]
    message = AnswerMessage(
        content=None if calls and not collected.text else collected.text,
        reasoning_content=collected.reasoning or msgspec.UNSET,
        tool_calls=calls or msgspec.UNSET,
    )
    word = finish_word(end, bool(calls))
    return ChatChoice(index, message, chat_logprobs(collected.logprobs) if logprobs else None, word)
