"""/v1/memory: what an account told this node to remember, and the search in it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from mongarsd.api.body import decode
from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import json
from mongarsd.api.openapi import Route
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest
from mongarsd.memory.accounts import account_id
from mongarsd.memory.recall.types import MAX_PAGE, MAX_TEXT, Memory

Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]

#: Characters of a search: what is longer is no question.
MAX_QUERY = 4000


class NewMemory(Struct, frozen=True, kw_only=True):
    text: Text
    conversation: Annotated[str, Meta(max_length=128)] | None = None  # where it was said


class ChangedMemory(Struct, frozen=True, kw_only=True):
    text: Text


class MemoryObject(Struct, frozen=True, kw_only=True):
    object: Literal["memory"] = "memory"
    id: str
    text: str
    source: Literal["fact", "turn", "document"]
    created_at: int  # seconds since the epoch
    updated_at: int
    conversation: str | None
    embedded: bool  # found by its meaning too, not by its words alone


class MemoryList(Struct, frozen=True, kw_only=True):
    """Newest first. `after` is handed back to get the next page."""

    object: Literal["list"] = "list"
    data: list[MemoryObject]
    has_more: bool
    after: str | None


class FoundMemory(Struct, frozen=True, kw_only=True):
    """`similarity` (cosine; null = not compared) and `words` (share of the question's) say why it was found."""

    memory: MemoryObject
    score: float
    similarity: float | None
    words: float


class FoundMemories(Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[FoundMemory]
    mode: Literal["hybrid", "words"]
    why: str  # of "words"


class DeletedMemory(Struct, frozen=True, kw_only=True):
    object: Literal["memory.deleted"] = "memory.deleted"
    id: str
    deleted: Literal[True] = True


_new = msgspec.json.Decoder(NewMemory)
_changed = msgspec.json.Decoder(ChangedMemory)


async def add_memory(request: web.Request) -> web.Response:
    body = await decode(request, _new)
    recall = request.app[PARTS].memory.recall
    return json(_object(await recall.add(_whose(request), body.text, conversation=body.conversation)))


async def list_memories(request: web.Request) -> web.Response:
    recall = request.app[PARTS].memory.recall
    page = await recall.page(_whose(request), after=request.query.get("after", ""), limit=_number(request, "limit", 20))
    data = [_object(memory) for memory in page.items]
    return json(MemoryList(data=data, has_more=bool(page.after), after=page.after or None))


async def search_memories(request: web.Request) -> web.Response:
    query = request.query.get("q", "")
    if not query.strip():
        raise BadRequest("q: required, and missing: what to search for", param="q")
    if len(query) > MAX_QUERY:
        raise BadRequest(f"q: {len(query)} characters are more than {MAX_QUERY}", param="q")
    found = await request.app[PARTS].memory.recall.search(_whose(request), query, k=_number(request, "k", 8))
    data = [
        FoundMemory(memory=_object(hit.memory), score=hit.score, similarity=hit.similarity, words=hit.words)
        for hit in found.hits
    ]
    return json(FoundMemories(data=data, mode=found.mode, why=found.why))


async def one_memory(request: web.Request) -> web.Response:
    return json(_object(await request.app[PARTS].memory.recall.get(_whose(request), request.match_info["id"])))


async def change_memory(request: web.Request) -> web.Response:
    body = await decode(request, _changed)
    recall = request.app[PARTS].memory.recall
    return json(_object(await recall.change(_whose(request), request.match_info["id"], body.text)))


async def delete_memory(request: web.Request) -> web.Response:
    gone = await request.app[PARTS].memory.recall.delete(_whose(request), request.match_info["id"])
    return json(DeletedMemory(id=gone.id))


ROUTES = (
    Route("POST", "/v1/memory", add_memory, "Remember a fact", NewMemory, MemoryObject),
    Route("GET", "/v1/memory", list_memories, "What is remembered, newest first", answer=MemoryList),
    Route("GET", "/v1/memory/search", search_memories, "Search by words and by meaning", answer=FoundMemories),
    Route("GET", "/v1/memory/{id}", one_memory, "One memory", answer=MemoryObject),
    Route("PATCH", "/v1/memory/{id}", change_memory, "Say it in other words", ChangedMemory, MemoryObject),
    Route("DELETE", "/v1/memory/{id}", delete_memory, "Forget it", answer=DeletedMemory),
)


def _whose(request: web.Request) -> str:
    return account_id(account(request))


def _number(request: web.Request, name: str, default: int) -> int:
    """Raises BadRequest."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_PAGE):
        raise BadRequest(f"{name}: a number from 1 to {MAX_PAGE}", param=name)
    return int(text)


def _object(memory: Memory) -> MemoryObject:
    return MemoryObject(
        id=memory.id,
        text=memory.text,
        source=memory.source,
        created_at=int(memory.created),
        updated_at=int(memory.updated),
        conversation=memory.conversation,
        embedded=memory.embedded,
    )
