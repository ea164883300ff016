"""/v1/responses/{id}: what was answered before."""

from __future__ import annotations

import msgspec
from aiohttp import web
from msgspec import structs

from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import json
from mongarsd.api.openai.files import page_of
from mongarsd.api.openai.responses.answers import Response, ResponseDeleted
from mongarsd.api.openai.responses.items import LOGPROBS, item_list, items_of, no_item
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest
from mongarsd.memory.accounts import account_id
from mongarsd.memory.conversations.responses import Saved

MAX_PAGE, USUAL = 100, 20  # items of a page; OpenAI's

_body = msgspec.json.Decoder(Response)


async def get_response(request: web.Request) -> web.Response:
    """?include[]=file_search_call.results. Log-probabilities are there if the request asked for them."""
    if request.query.get("stream", "false") != "false":
        raise BadRequest("stream: events are not kept; retrieve the whole response", param="stream")
    saved = await _saved(request)
    output = items_of(saved.answer, [*included(request), LOGPROBS])
    return json(structs.replace(_body.decode(saved.body), output=output, conversation_id=saved.conversation))


async def delete_response(request: web.Request) -> web.Response:
    name = request.match_info["response"]
    await request.app[PARTS].memory.responses.delete(account_id(account(request)), name)
    return json(ResponseDeleted(id=name))


async def cancel_response(request: web.Request) -> web.Response:
    """Raises BadRequest, whichever response it is."""
    await _saved(request)
    raise BadRequest("only responses made in the background can be cancelled, and there are none here")


async def list_input_items(request: web.Request) -> web.Response:
    after, _, limit, order = page_of(request, USUAL, MAX_PAGE)
    items = [item for turn in (await _saved(request)).input for item in items_of(turn)]
    if order == "desc":
        items.reverse()
    if after:
        place = next((i for i, item in enumerate(items) if item.id == after), None)
        if place is None:
            raise no_item(after)
        items = items[place + 1 :]
    return json(item_list(items[:limit], len(items) > limit))


def included(request: web.Request) -> list[str]:
    """Of the query, in the two ways that clients write lists."""
    return [*request.query.getall("include", []), *request.query.getall("include[]", [])]


async def _saved(request: web.Request) -> Saved:
    responses = request.app[PARTS].memory.responses
    return await responses.get(account_id(account(request)), request.match_info["response"])
