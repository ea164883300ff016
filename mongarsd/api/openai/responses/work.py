"""One response while it is made, whoever asked for it and however it is told."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec
from msgspec import structs

from mongarsd.api.openai.answer import Collected, accept
from mongarsd.api.openai.keeping import TITLE, answer_turn
from mongarsd.api.openai.recalling import with_memories
from mongarsd.api.openai.requests import MAX_MESSAGES
from mongarsd.api.openai.responses.answers import Incomplete, Response, begun, cut, usage
from mongarsd.api.openai.responses.chat import job_of, tools_of
from mongarsd.api.openai.responses.events import Events
from mongarsd.api.openai.responses.inputs import messages_of, told, turns_of, with_instructions, with_passages
from mongarsd.api.openai.responses.items import LOGPROBS, RESULTS, items_of
from mongarsd.api.openai.responses.references import resolved
from mongarsd.api.openai.responses.requests import Named, ResponseRequest
from mongarsd.api.openai.responses.searching import search
from mongarsd.api.openai.responses.summarised import Shortening
from mongarsd.api.openai.run import follow
from mongarsd.api.openai.truncation import follow_shortened
from mongarsd.api.parts import Parts
from mongarsd.ground.errors import BadRequest, Busy, ContextOverflow, NotFound, StorageUnavailable
from mongarsd.ground.job import Delta, Finished, FinishReason, Job, Usage
from mongarsd.memory.accounts import account_id
from mongarsd.memory.conversations.types import NewTurn, Searched, Turn, new_id

log = logging.getLogger(__name__)

#: What would change the answer and does not exist here is refused, never ignored.
_REFUSED = {
    "background": "a response is computed while its client waits; to let others go first use priority: batch",
    "prompt": "there are no stored prompts here; send instructions and input",
}


class Work:
    """`follow` the model, then `finish`. `events` tell it piece by piece. Or just `count`."""

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
        self._parts, self._body, self._job, self._response = parts, body, job, response
        self._given, self._found, self._shorten = given, found, shorten
        self._turn = new_id("msg")
        self._results = RESULTS in (body.include or ())
        self._collected = Collected()
        self._tokens = self._reasoning = 0  # of the answer, and of its reasoning

    def events(self) -> Events:
        events = Events(self._response, self._turn)
        if self._found:
            events.searched(self._found, results=self._results)
        return events

    async def follow(self, deliver: Callable[[Delta], Awaitable[None]]) -> Finished:
        """Raises MongarsError. When it is cancelled, `finish(None)` still tells what was said."""

        async def take(delta: Delta) -> None:
            await self._collected.add(delta)
            self._tokens += len(delta.tokens)
            if delta.reasoning and not delta.text:
                self._reasoning += len(delta.tokens)
            await deliver(delta)

        with _named():
            if self._body.truncation == "auto":
                return await follow_shortened(self._parts, self._job, take, self._shorten)
            return await follow(self._parts, self._job, take)

    async def count(self) -> int:
        """Tokens of the prompt, also of what `truncation` would leave out. Nothing is computed. Raises MongarsError."""
        with _named():
            end = await follow(self._parts, structs.replace(self._job, count=True), self._collected.add)
        return end.usage.prompt

    async def finish(self, end: Finished | None) -> Response:
        """The whole, on disk if it is to be stored. None: the client cancelled it."""
        status: Literal["completed", "incomplete", "cancelled"] = "cancelled"
        if end:
            status = "incomplete" if cut(end) else "completed"
        else:
            end = Finished(job="", reason=FinishReason.CANCELLED, usage=Usage(0, self._tokens))
        answer = answer_turn(self._parts.hostname, self._response.model, self._collected, end)
        reason = status if status == "cancelled" else answer.details.finish_reason
        details = structs.replace(answer.details, searched=self._found, finish_reason=reason)
        answer = structs.replace(answer, id=self._turn, details=details)
        response = structs.replace(
            self._response,
            status=status,
            completed_at=int(self._parts.clock.wall()) if status == "completed" else None,
            incomplete_details=Incomplete() if status == "incomplete" else None,
            usage=None if status == "cancelled" else usage(end, self._reasoning),
            summarised_turns=self._shorten.turns or msgspec.UNSET,
        )
        conversation = await self._save(response, answer) if response.store else ""
        output = items_of(answer, (*(self._body.include or ()), LOGPROBS))  # they are there if they were asked for
        return structs.replace(
            response, output=output, store=bool(conversation), conversation_id=conversation or msgspec.UNSET
        )

    async def _save(self, response: Response, answer: NewTurn) -> str:
        """The conversation where it is now, "" = nowhere."""
        body = structs.replace(response, memory=msgspec.UNSET)  # a memory can be forgotten
        title = next((turn.content for turn in self._given if turn.role == "user"), "")[:TITLE]
        try:
            return await self._parts.memory.responses.save(
                account_id(self._job.account),
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


async def prepare(parts: Parts, account: str, body: ResponseRequest) -> Work:
    """Everything that can be wrong with a request is found here. Raises MongarsError."""
    whose = account_id(account)
    for name, why in _REFUSED.items():
        if getattr(body, name):
            raise BadRequest(f"{name}: {why}", param=name)
    if body.n not in (None, 1):
        raise BadRequest("n: a response has one answer", param="n")
    if body.previous_response_id and body.conversation:
        raise BadRequest("previous_response_id: not together with conversation", param="previous_response_id")
    model, order = accept(parts, account, body)
    tools = tools_of(body)
    given = messages_of(await resolved(parts.memory.conversations, whose, body.input))
    conversation = body.conversation.id if isinstance(body.conversation, Named) else body.conversation or ""
    turns = await _history(parts, whose, body.previous_response_id or "", conversation)
    messages = [*told(turns), *given]
    if not messages:
        raise BadRequest("input: required, and missing", param="input")
    found = None
    if tools.search:
        found = await search(parts.memory.documents, whose, tools.search, given)
    if found:
        with_passages(messages, found)
    messages = with_instructions(body.instructions, messages)
    job = await parts.aside(bool(tools.functions or body.text), job_of, body, tools, messages, order)
    (job,), memory = await with_memories(parts.memory, body.memory, [job])
    name, now = new_id("resp"), parts.clock.wall()
    response = begun(name, now, model.name, body, job, conversation=conversation)
    carried = None
    if body.truncation == "auto":
        carried = await parts.memory.summaries.carry(whose, turns)
    shorten = Shortening(carried, len(messages) - (carried.turns if carried else 0))
    return Work(parts, body, job, structs.replace(response, memory=memory), turns_of(given), found, shorten)


@contextmanager
def _named() -> Iterator[None]:
    """What the context cannot hold is called as the client calls it."""
    try:
        yield
    except ContextOverflow as error:
        error.param = "input"
        raise


async def _history(parts: Parts, account: str, response: str, conversation: str) -> list[Turn]:
    """Raises NotFound, StorageUnavailable."""
    if not (response or conversation):
        return []
    param: Literal["previous_response_id", "conversation"] = "previous_response_id" if response else "conversation"
    try:
        return await parts.memory.responses.history(
            account, response=response, conversation=conversation, limit=MAX_MESSAGES
        )
    except NotFound as error:
        error.param = param
        raise
