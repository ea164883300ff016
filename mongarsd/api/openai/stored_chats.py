"""/v1/chat/completions/{id}: answers that were stored because their requests said so (`store: true`)."""

from __future__ import annotations

import re
from typing import Literal, cast

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from mongarsd.api.body import decode
from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import json
from mongarsd.api.openai.answers import (
    AnswerMessage,
    AnswerToolCall,
    CalledFunction,
    ChatChoice,
    ChatCompletion,
    FinishWord,
    PromptDetails,
    UsageObject,
)
from mongarsd.api.openai.files import Listed, listed, page_of
from mongarsd.api.openai.keeping import MAX_METADATA
from mongarsd.api.openai.logprobs import chat_logprobs
from mongarsd.api.openai.responses.items import arguments_text
from mongarsd.api.openai.responses.requests import Metadata
from mongarsd.api.openapi import Route
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest
from mongarsd.memory.accounts import account_id
from mongarsd.memory.conversations.completions import Completion, Completions
from mongarsd.memory.conversations.types import Turn

MAX_PAGE, USUAL = 100, 20
_METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)


class StoredCompletion(ChatCompletion, frozen=True, kw_only=True):
    metadata: dict[str, str]
    conversation_id: str  # ours


class StoredMessage(Struct, frozen=True, kw_only=True):
    id: str
    role: str
    content: str
    content_parts: None = None  # texts are kept as one
    name: str | UnsetType = UNSET
    refusal: None = None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[AnswerToolCall] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET


class ChangedCompletion(Struct, frozen=True, kw_only=True):
    metadata: Metadata | None  # in the place of what there was


class CompletionDeleted(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["chat.completion.deleted"] = "chat.completion.deleted"
    deleted: Literal[True] = True


_changed = msgspec.json.Decoder(ChangedCompletion)


async def list_completions(request: web.Request) -> web.Response:
    """?model= &metadata[name]=value &limit= &after= &order="""
    after, _, limit, order = page_of(request, USUAL, MAX_PAGE, "asc")
    page = await _store(request).page(
        _whose(request),
        model=request.query.get("model", ""),
        metadata=_metadata(request),
        after=after,
        limit=limit,
        newest_first=order == "desc",
    )
    return json(listed([_completion(one) for one in page.items], bool(page.after)))


async def get_completion(request: web.Request) -> web.Response:
    return json(_completion(await _store(request).get(_whose(request), _named(request))))


async def change_completion(request: web.Request) -> web.Response:
    body = await decode(request, _changed)
    return json(_completion(await _store(request).change(_whose(request), _named(request), body.metadata or {})))


async def delete_completion(request: web.Request) -> web.Response:
    await _store(request).delete(_whose(request), _named(request))
    return json(CompletionDeleted(id=_named(request)))


async def list_messages(request: web.Request) -> web.Response:
    """What was said before the answer. ?limit= &after= &order="""
    after, _, limit, order = page_of(request, USUAL, MAX_PAGE, "asc")
    page = await _store(request).messages(
        _whose(request), _named(request), after=after, limit=limit, newest_first=order == "desc"
    )
    return json(listed([_message(turn) for turn in page.items], bool(page.after)))


_ONE = "/v1/chat/completions/{completion}"
ROUTES = (
    Route(
        "GET", "/v1/chat/completions", list_completions, "Stored answers; model and metadata[…] choose among them",
        answer=Listed[StoredCompletion],
    ),
    Route("GET", _ONE, get_completion, "A stored answer", answer=StoredCompletion),
    Route("POST", _ONE, change_completion, "Give it other metadata", ChangedCompletion, StoredCompletion),
    Route("DELETE", _ONE, delete_completion, "Delete it and its question", answer=CompletionDeleted),
    Route("GET", _ONE + "/messages", list_messages, "What was said before it", answer=Listed[StoredMessage]),
)  # fmt: skip


def _completion(one: Completion) -> StoredCompletion:
    turn, details = one.answer, one.answer.details
    calls = _calls(turn)
    message = AnswerMessage(
        content=None if calls and not turn.content else turn.content,
        reasoning_content=details.reasoning or UNSET,
        tool_calls=calls or UNSET,
    )
    logprobs = chat_logprobs(details.logprobs) if details.logprobs else None
    used = details.prompt_tokens, details.completion_tokens
    return StoredCompletion(
        id=one.id,
        created=int(one.created),
        model=turn.model,
        choices=[ChatChoice(0, message, logprobs, cast(FinishWord, details.finish_reason))],
        usage=UsageObject(*used, sum(used), PromptDetails(details.cached_tokens)),
        metadata=one.metadata,
        conversation_id=turn.conversation,
    )


def _message(turn: Turn) -> StoredMessage:
    return StoredMessage(
        id=turn.id,
        role=turn.role,
        content=turn.content,
        name=turn.details.name or UNSET,
        reasoning_content=turn.details.reasoning or UNSET,
        tool_calls=_calls(turn) or UNSET,
        tool_call_id=turn.details.tool_call_id or UNSET,
    )


def _calls(turn: Turn) -> list[AnswerToolCall]:
    calls = []
    for call in turn.details.tool_calls:
        function = call.get("function") or {}
        called = CalledFunction(function.get("name") or "", arguments_text(function.get("arguments", "")))
        calls.append(AnswerToolCall(id=call.get("id") or "", function=called))
    return calls


def _metadata(request: web.Request) -> dict[str, str]:
    """Of the query. Raises BadRequest."""
    found = {match[1]: value for name, value in request.query.items() if (match := _METADATA.fullmatch(name))}
    if len(found) > MAX_METADATA:
        raise BadRequest(f"metadata: at most {MAX_METADATA} pairs", param="metadata")
    return found


def _store(request: web.Request) -> Completions:
    return request.app[PARTS].memory.completions


def _whose(request: web.Request) -> str:
    return account_id(account(request))


def _named(request: web.Request) -> str:
    return request.match_info["completion"]
