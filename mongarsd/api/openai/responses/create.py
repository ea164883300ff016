"""POST /v1/responses"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from aiohttp import web
from msgspec import structs

from mongarsd.api import errors
from mongarsd.api.body import decode
from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import Collected, accept, json
from mongarsd.api.openai.keeping import CONVERSATION, STORED, TITLE, answer_turn
from mongarsd.api.openai.logprobs import chat_logprobs
from mongarsd.api.openai.recalling import with_memories
from mongarsd.api.openai.requests import MAX_MESSAGES
from mongarsd.api.openai.responses.answers import Incomplete, Response, begun, cut, usage
from mongarsd.api.openai.responses.chat import job_of, tools_of
from mongarsd.api.openai.responses.events import Events
from mongarsd.api.openai.responses.inputs import messages_of, told, turns_of, with_instructions, with_passages
from mongarsd.api.openai.responses.items import items_of
from mongarsd.api.openai.responses.requests import Named, ResponseRequest
from mongarsd.api.openai.responses.searching import search
from mongarsd.api.openai.responses.summarised import Shortening
from mongarsd.api.openai.run import follow
from mongarsd.api.openai.stream import EventStream
from mongarsd.api.openai.truncation import follow_shortened
from mongarsd.api.parts import PARTS, Parts
from mongarsd.ground.errors import BadRequest, Busy, ContextOverflow, NotFound, StorageUnavailable
from mongarsd.ground.job import Delta, Finished, Job
from mongarsd.memory.accounts import account_id
from mongarsd.memory.conversations.types import NewTurn, Searched, Turn, new_id

log = logging.getLogger(__name__)

_decoder = msgspec.json.Decoder(ResponseRequest)
_RESULTS = "file_search_call.results"
#: What would change the answer and does not exist here is refused, never ignored.
_REFUSED = {
    "background": "a response is computed while its client waits; to let others go first use priority: batch",
    "prompt": "there are no stored prompts here; send instructions and input",
}


class Work:
    """One response, while it is made."""

    def __init__(
        self,
        parts: Parts,
        body: ResponseRequest,
        job: Job,
        response: Response,
        given: list[NewTurn],
        found: Searched | None,
        shorten: Shortening,
    ) -> None:
        self.job, self.response, self.found = job, response, found
        self.turn = new_id("msg")
        self.results = _RESULTS in (body.include or ())
        self._parts, self._body, self._given = parts, body, given
        self._shorten = shorten
        self._collected = Collected()
        self._reasoning = 0  # tokens

    async def run(self, deliver: Callable[[Delta], Awaitable[None]]) -> tuple[Response, str]:
        """The whole response, on disk if it is to be stored, and the conversation where it is, "" = nowhere."""

        async def take(delta: Delta) -> None:
            await self._collected.add(delta)
            if delta.reasoning and not delta.text:
                self._reasoning += len(delta.tokens)
            await deliver(delta)

        end = await self._follow(take)
        answer = answer_turn(self._parts.hostname, self.response.model, self._collected, end)
        answer = structs.replace(answer, id=self.turn, details=structs.replace(answer.details, searched=self.found))
        response = structs.replace(
            self.response,
            status="incomplete" if cut(end) else "completed",
            completed_at=None if cut(end) else int(self._parts.clock.wall()),
            incomplete_details=Incomplete() if cut(end) else None,
            usage=usage(end, self._reasoning),
            summarised_turns=self._shorten.turns or msgspec.UNSET,
        )
        conversation = await self._save(response, answer) if response.store else ""
        logprobs = chat_logprobs(self._collected.logprobs).content
        output = items_of(answer, results=self.results, logprobs=logprobs)
        return structs.replace(response, output=output, store=bool(conversation)), conversation

    async def _follow(self, deliver: Callable[[Delta], Awaitable[None]]) -> Finished:
        try:
            if self._body.truncation == "auto":
                return await follow_shortened(self._parts, self.job, deliver, self._shorten)
            return await follow(self._parts, self.job, deliver)
        except ContextOverflow as error:
            error.param = "input"
            raise

    async def _save(self, response: Response, answer: NewTurn) -> str:
        body = structs.replace(response, memory=msgspec.UNSET)  # a memory can be forgotten
        title = next((turn.content for turn in self._given if turn.role == "user"), "")[:TITLE]
        try:
            return await self._parts.memory.responses.save(
                account_id(self.job.account),
                response.id,
                msgspec.json.encode(body).decode(),
                [*self._given, answer],
                conversation=response.conversation.id if response.conversation else "",
                previous=response.previous_response_id or "",
                title=title,
            )
        except (StorageUnavailable, Busy, NotFound) as error:  # NotFound: deleted since it was read
            log.warning("a response was not stored: %s", error.message)
            return ""


class ResponseStream(EventStream):
    """What fails half-way ends as OpenAI's clients expect it."""

    def __init__(self, request: web.Request, interval: float, events: Events) -> None:
        super().__init__(request, interval)
        self._events = events

    def failure(self, error: Exception) -> bytes:
        told = errors.answer(error).error
        return self._events.failed(told["code"], told["message"], told["param"])


async def create_response(request: web.Request) -> web.StreamResponse:
    parts = request.app[PARTS]
    body = await decode(request, _decoder)
    work = await _prepare(request, body)
    if not body.stream:
        response, conversation = await work.run(_nothing)
        answer = json(response)
        if body.store is not False:
            answer.headers[STORED] = "true" if conversation else "false"
        if conversation:
            answer.headers[CONVERSATION] = conversation
        return answer
    events = Events(work.response, work.turn)
    if work.found:
        events.searched(work.found, results=work.results)
    out = ResponseStream(request, parts.settings.server.ping_interval, events)
    async with out:

        async def deliver(delta: Delta) -> None:
            if data := events.delta(delta):
                await out.send(data)

        response, _ = await work.run(deliver)
        await out.send(events.end(response))
    return out.response


async def _prepare(request: web.Request, body: ResponseRequest) -> Work:
    """Everything that can be wrong with a request is found here. Raises MongarsError."""
    parts = request.app[PARTS]
    for name, why in _REFUSED.items():
        if getattr(body, name):
            raise BadRequest(f"{name}: {why}", param=name)
    if body.n not in (None, 1):
        raise BadRequest("n: a response has one answer", param="n")
    if body.previous_response_id and body.conversation:
        raise BadRequest("previous_response_id: not together with conversation", param="previous_response_id")
    model, order = accept(request, body)
    tools = tools_of(body)
    given = messages_of(body.input)
    conversation = body.conversation.id if isinstance(body.conversation, Named) else body.conversation or ""
    turns = await _history(request, body.previous_response_id or "", conversation)
    messages = [*told(turns), *given]
    if not messages:
        raise BadRequest("input: required, and missing", param="input")
    found = None
    if tools.search:
        whose = account_id(account(request))
        found = await search(parts.memory.documents, whose, tools.search, given)
    if found:
        with_passages(messages, found)
    job = job_of(body, tools, with_instructions(body.instructions, messages), order)
    (job,), memory = await with_memories(request, body.memory, [job])
    name, now = new_id("resp"), parts.clock.wall()
    response = begun(name, now, model.name, body, job, conversation=conversation)
    carried = None
    if body.truncation == "auto":
        carried = await parts.memory.summaries.carry(account_id(account(request)), turns)
    shorten = Shortening(carried, len(messages) - (carried.turns if carried else 0))
    return Work(parts, body, job, structs.replace(response, memory=memory), turns_of(given), found, shorten)


async def _history(request: web.Request, response: str, conversation: str) -> list[Turn]:
    """Raises NotFound, StorageUnavailable."""
    if not (response or conversation):
        return []
    param: Literal["previous_response_id", "conversation"] = "previous_response_id" if response else "conversation"
    try:
        return await request.app[PARTS].memory.responses.history(
            account_id(account(request)), response=response, conversation=conversation, limit=MAX_MESSAGES
        )
    except NotFound as error:
        error.param = param
        raise


async def _nothing(delta: Delta) -> None:
    """A plain answer is told at the end."""
