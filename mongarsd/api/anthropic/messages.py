"""POST /v1/messages, POST /v1/messages/count_tokens"""

from __future__ import annotations

import secrets

import msgspec
from aiohttp import web
from msgspec import structs

from mongarsd.api import errors
from mongarsd.api.anthropic.answers import (
    AnswerBlock,
    AnswerMessage,
    MessageDelta,
    MessageUsage,
    Stopped,
    StopReason,
    TextBlock,
    ThinkingBlock,
    TokenCount,
    ToolUseBlock,
)
from mongarsd.api.anthropic.events import PING, Events
from mongarsd.api.anthropic.jobs import chat_request, job_of
from mongarsd.api.anthropic.requests import CountRequest, MessagesRequest
from mongarsd.api.body import decode
from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import Collected, accept, json
from mongarsd.api.openai.forms import has_form
from mongarsd.api.openai.run import follow
from mongarsd.api.openai.stream import EventStream
from mongarsd.api.parts import PARTS
from mongarsd.ground.job import Delta, Finished, FinishReason, Job, Started, ToolCall, Usage

_messages = msgspec.json.Decoder(MessagesRequest)
_count = msgspec.json.Decoder(CountRequest)


async def create_message(request: web.Request) -> web.StreamResponse:
    body = await decode(request, _messages)
    model, job = await _job(request, body)
    if body.stream:
        return await _stream(request, model, job)
    collected = Collected()
    end = await follow(request.app[PARTS], job, collected.add)
    stopped = _stopped(end, bool(collected.calls))
    answer = _message(model, end.usage)
    return json(
        structs.replace(
            answer,
            content=_content(collected),
            stop_reason=stopped.stop_reason,
            stop_sequence=stopped.stop_sequence,
        )
    )


async def count_tokens(request: web.Request) -> web.Response:
    """Of the prompt, by the model's own template and tokenizer; nothing is computed."""
    body = await decode(request, _count)
    _, job = await _job(request, body)
    end = await follow(request.app[PARTS], structs.replace(job, count=True), Collected().add)
    return json(TokenCount(end.usage.prompt))


async def _job(request: web.Request, body: CountRequest) -> tuple[str, Job]:
    """The model's name too. Raises MongarsError."""
    chat = chat_request(body)
    parts = request.app[PARTS]
    model, order = accept(parts, account(request), chat)
    return model.name, await parts.aside(has_form(chat), job_of, body, chat, model, order)


async def _stream(request: web.Request, model: str, job: Job) -> web.StreamResponse:
    """Raises MongarsError before the first event."""
    parts = request.app[PARTS]
    events = Events()
    async with _Stream(request, parts.settings.server.ping_interval) as out:

        async def started(event: Started) -> None:
            usage = Usage(event.prompt, 0, event.cached)
            await out.send(events.start(_message(model, usage)))

        async def deliver(delta: Delta) -> None:
            if said := events.delta(delta):
                await out.send(said)

        end = await follow(parts, job, deliver, started)
        await out.send(events.end(MessageDelta(_stopped(end, events.called), _usage(end.usage))))
    return out.response


class _Stream(EventStream):
    ping = PING

    def failure(self, error: Exception) -> bytes:
        return b"event: error\ndata: " + errors.answer(error).anthropic_body + b"\n\n"


def _message(model: str, usage: Usage) -> AnswerMessage:
    """One that has said nothing yet."""
    return AnswerMessage(
        id=f"msg_{secrets.token_hex(12)}",
        model=model,
        content=[],
        stop_reason=None,
        stop_sequence=None,
        usage=_usage(usage),
    )


def _usage(used: Usage) -> MessageUsage:
    return MessageUsage(
        input_tokens=used.prompt - used.cached,
        cache_read_input_tokens=used.cached,
        output_tokens=used.completion,
    )


def _stopped(end: Finished, called: bool) -> Stopped:
    reason: StopReason = "tool_use" if called else "stop_sequence" if end.stop is not None else "end_turn"
    if end.reason is not FinishReason.STOP:
        reason = "max_tokens"
    return Stopped(reason, end.stop if reason == "stop_sequence" else None)


def _content(collected: Collected) -> list[AnswerBlock]:
    content: list[AnswerBlock] = []
    if collected.reasoning:
        content.append(ThinkingBlock(collected.reasoning))
    if collected.text:
        content.append(TextBlock(collected.text))
    return [*content, *map(_use, collected.calls)]


def _use(call: ToolCall) -> ToolUseBlock | TextBlock:
    """Text, if `max_tokens` cut it: nobody must run a tool with half of its input."""
    try:
        return ToolUseBlock(call.id, call.name, msgspec.json.decode(call.arguments or "{}", type=dict))
    except (msgspec.MsgspecError, RecursionError):
        return TextBlock(call.name + call.arguments)
