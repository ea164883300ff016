"""/v1/conversations: OpenAI's verbs, and for people a list, a search and an export. Chats with `store: true` are here
too: they are the same conversations."""

from __future__ import annotations

from typing import Any, Literal, cast, get_args

import msgspec
from aiohttp import web
from msgspec import Struct

from mongarsd.api.body import decode
from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import json
from mongarsd.api.openai.files import page_of
from mongarsd.api.openai.keeping import TITLE
from mongarsd.api.openai.responses.inputs import messages_of, turns_of
from mongarsd.api.openai.responses.requests import ChangedConversation, NewConversation
from mongarsd.api.parts import PARTS, Parts
from mongarsd.ground.errors import BadRequest
from mongarsd.memory.accounts import account_id
from mongarsd.memory.conversations.export import Form, export, export_one
from mongarsd.memory.conversations.types import Conversation, Hit

MAX_PAGE, USUAL = 100, 20
MAX_QUERY = 4000  # characters of a search

_new = msgspec.json.Decoder(NewConversation)
_changed = msgspec.json.Decoder(ChangedConversation)
_TYPES = {"json": "application/x-ndjson", "markdown": "text/markdown; charset=utf-8"}


class FoundItem(Struct, frozen=True, kw_only=True):
    item_id: str
    role: str
    created_at: int
    snippet: str  # words found stand between "[" and "]"
    score: float  # higher is better


class ConversationObject(Struct, frozen=True, kw_only=True):
    """OpenAI's four fields, and ours."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str]
    title: str
    updated_at: int
    turns: int
    bytes: int


class ListedConversation(ConversationObject, frozen=True, kw_only=True, omit_defaults=True):
    hits: list[FoundItem] = []  # of a search, best first


class ConversationList(Struct, frozen=True, kw_only=True):
    """The one that was used last, or fits best, comes first. `after` is handed back to get the next page."""

    object: Literal["list"] = "list"
    data: list[ListedConversation]
    has_more: bool
    after: str | None


class ConversationDeleted(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: Literal[True] = True


async def create_conversation(request: web.Request) -> web.Response:
    body = await decode(request, _new)
    turns = turns_of(messages_of(body.items, "items"))
    title = next((turn.content for turn in turns if turn.role == "user"), "")[:TITLE]
    made = await _parts(request).memory.conversations.create(
        whose(request), turns, title=title if body.title is None else body.title, metadata=body.metadata
    )
    return json(conversation_object(made))


async def list_conversations(request: web.Request) -> web.Response:
    """?limit= &after= or ?q="""
    after, _, limit, _ = page_of(request, USUAL, MAX_PAGE)
    if query := request.query.get("q", ""):
        if len(query) > MAX_QUERY:
            raise BadRequest(f"q: {len(query)} characters are more than {MAX_QUERY}", param="q")
        return await _found(request, query, limit)
    page = await _parts(request).memory.conversations.list(whose(request), after=after, limit=limit)
    data = [_listed(one) for one in page.items]
    return json(ConversationList(data=data, has_more=bool(page.after), after=page.after or None))


async def get_conversation(request: web.Request) -> web.Response:
    return json(conversation_object(await _parts(request).memory.conversations.get(whose(request), named(request))))


async def change_conversation(request: web.Request) -> web.Response:
    body = await decode(request, _changed)
    changed = await _parts(request).memory.conversations.change(
        whose(request), named(request), title=body.title, metadata=body.metadata
    )
    return json(conversation_object(changed))


async def delete_conversation(request: web.Request) -> web.Response:
    await _parts(request).memory.conversations.delete(whose(request), named(request))
    return json(ConversationDeleted(id=named(request)))


async def export_conversation(request: web.Request) -> web.Response:
    """?format=json|markdown"""
    form = _form(request)
    text = await export_one(_parts(request).memory.conversations, whose(request), named(request), form)
    return web.Response(body=text.encode(), headers={"Content-Type": _TYPES[form], "Cache-Control": "no-store"})


async def export_conversations(request: web.Request) -> web.StreamResponse:
    """?format=json|markdown: all of the account's."""
    form, store = _form(request), _parts(request).memory.conversations
    await store.list(whose(request), limit=1)  # fails now, not half-way
    response = web.StreamResponse(headers={"Content-Type": _TYPES[form], "Cache-Control": "no-store"})
    await response.prepare(request)
    async for piece in export(store, whose(request), form):
        await response.write(piece.encode())
    return response


def conversation_object(one: Conversation) -> ConversationObject:
    return ConversationObject(**_fields(one))


def whose(request: web.Request) -> str:
    return account_id(account(request))


def named(request: web.Request) -> str:
    return request.match_info["conversation"]


async def _found(request: web.Request, query: str, limit: int) -> web.Response:
    store = _parts(request).memory.conversations
    hits: dict[str, list[FoundItem]] = {}
    for hit in await store.search(whose(request), query, limit=limit):
        hits.setdefault(hit.conversation, []).append(_item(hit))
    found = await store.some(whose(request), list(hits))
    data = [_listed(found[name], items) for name, items in hits.items() if name in found]
    return json(ConversationList(data=data, has_more=False, after=None))


def _item(hit: Hit) -> FoundItem:
    return FoundItem(
        item_id=hit.turn, role=hit.role, created_at=int(hit.created), snippet=hit.snippet, score=round(hit.score, 4)
    )


def _listed(one: Conversation, hits: list[FoundItem] | None = None) -> ListedConversation:
    return ListedConversation(**_fields(one), hits=hits or [])


def _fields(one: Conversation) -> dict[str, Any]:
    return {
        "id": one.id,
        "created_at": int(one.created),
        "metadata": one.metadata,
        "title": one.title,
        "updated_at": int(one.updated),
        "turns": one.turns,
        "bytes": one.bytes,
    }


def _form(request: web.Request) -> Form:
    form = request.query.get("format", "json")
    if form not in get_args(Form):
        raise BadRequest("format: json or markdown", param="format")
    return cast(Form, form)


def _parts(request: web.Request) -> Parts:
    return request.app[PARTS]
