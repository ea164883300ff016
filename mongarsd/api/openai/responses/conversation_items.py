"""/v1/conversations/{id}/items: each turn as its items, in pages that may begin and end within a turn."""

from __future__ import annotations

from collections.abc import Container

import msgspec
from aiohttp import web

from mongarsd.api.body import decode
from mongarsd.api.openai.answer import json
from mongarsd.api.openai.files import page_of
from mongarsd.api.openai.responses.conversations import conversation_object, named, whose
from mongarsd.api.openai.responses.inputs import messages_of, turns_of
from mongarsd.api.openai.responses.items import Item, item_list, items_of, no_item, turn_id, without
from mongarsd.api.openai.responses.requests import NewItems
from mongarsd.api.openai.responses.stored import MAX_PAGE, USUAL, included
from mongarsd.api.parts import PARTS
from mongarsd.memory.conversations.store import Conversations
from mongarsd.memory.conversations.types import Turn

_new = msgspec.json.Decoder(NewItems)


async def list_conversation_items(request: web.Request) -> web.Response:
    after, _, limit, order = page_of(request, USUAL, MAX_PAGE)
    items, more = await items_after(
        _store(request),
        whose(request),
        named(request),
        after=after,
        limit=limit,
        newest_first=order == "desc",
        include=included(request),
    )
    return json(item_list(items, more))


async def items_after(
    store: Conversations,
    account: str,
    conversation: str,
    *,
    after: str,
    limit: int,
    newest_first: bool = False,
    include: Container[str] = (),
) -> tuple[list[Item], bool]:
    """At most `limit` items that follow the item `after`, and whether there are more. Raises NotFound."""

    def parts(turn: Turn) -> list[Item]:
        found = items_of(turn, include)
        return found[::-1] if newest_first else found

    items: list[Item] = []
    turn = ""
    if after:  # what is left of its turn comes first
        last = await _turn(store, account, conversation, after)
        turn, whole = last.id, parts(last)
        items = whole[[one.id for one in whole].index(after) + 1 :]
    page = await store.turns(account, conversation, after=turn, limit=limit, newest_first=newest_first)
    items += [item for one in page.items for item in parts(one)]
    return items[:limit], len(items) > limit or bool(page.after)


async def create_conversation_items(request: web.Request) -> web.Response:
    body = await decode(request, _new)
    turns = turns_of(messages_of(body.items, "items"))
    stored = await _store(request).append(whose(request), named(request), turns)
    return json(item_list([item for turn in stored for item in items_of(turn)], False))


async def get_conversation_item(request: web.Request) -> web.Response:
    name = request.match_info["item"]
    turn = await _turn(_store(request), whose(request), named(request), name)
    return json(next(one for one in items_of(turn, included(request)) if one.id == name))


async def delete_conversation_item(request: web.Request) -> web.Response:
    name = request.match_info["item"]
    turn = await _turn(_store(request), whose(request), named(request), name)
    left = without(turn, name)
    if left is None:
        await _store(request).delete_turn(whose(request), turn.id)
    else:
        await _store(request).rewrite(whose(request), turn.id, left.content, left.details)
    return json(conversation_object(await _store(request).get(whose(request), named(request))))


async def _turn(store: Conversations, account: str, conversation: str, item: str) -> Turn:
    """The one that has this item. Raises NotFound."""
    turn = await store.turn(account, turn_id(item))
    if turn.conversation != conversation or all(one.id != item for one in items_of(turn)):
        raise no_item(item)
    return turn


def _store(request: web.Request) -> Conversations:
    return request.app[PARTS].memory.conversations
