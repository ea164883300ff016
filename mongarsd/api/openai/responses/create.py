"""POST /v1/responses"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from aiohttp import web

from mongarsd.api import errors
from mongarsd.api.body import decode
from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import json
from mongarsd.api.openai.keeping import CONVERSATION, STORED
from mongarsd.api.openai.responses.events import Events, Said
from mongarsd.api.openai.responses.requests import ResponseRequest
from mongarsd.api.openai.responses.work import prepare
from mongarsd.api.openai.stream import EventStream
from mongarsd.api.parts import PARTS
from mongarsd.ground.job import Delta

_decoder = msgspec.json.Decoder(ResponseRequest)


class ResponseStream(EventStream):
    """What fails half-way ends as OpenAI's clients expect it."""

    def __init__(self, request: web.Request, interval: float, events: Events) -> None:
        super().__init__(request, interval)
        self._events = events

    def failure(self, error: Exception) -> bytes:
        told = errors.answer(error).error
        return _frames(self._events.failed(told["code"], told["message"], told["param"]))


async def create_response(request: web.Request) -> web.StreamResponse:
    parts = request.app[PARTS]
    body = await decode(request, _decoder)
    work = await prepare(parts, account(request), body)
    if not body.stream:
        response = await work.finish(await work.follow(_nothing))
        answer = json(response)
        if body.store is not False:
            answer.headers[STORED] = "true" if response.store else "false"
        if response.conversation_id:
            answer.headers[CONVERSATION] = response.conversation_id
        return answer
    events = work.events()
    out = ResponseStream(request, parts.settings.server.ping_interval, events)
    async with out:

        async def deliver(delta: Delta) -> None:
            if said := events.delta(delta):
                await out.send(_frames(said))

        await out.send(_frames(events.end(await work.finish(await work.follow(deliver)))))
    return out.response


def _frames(events: Sequence[Said]) -> bytes:
    """As server-sent events."""
    return b"".join([b"event: %b\ndata: %b\n\n" % (one.kind.encode(), one.data) for one in events])


async def _nothing(delta: Delta) -> None:
    """A plain answer is told at the end."""
