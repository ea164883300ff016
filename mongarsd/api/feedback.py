"""POST /v1/feedback: what a user thinks of a stored answer. It is kept with the turn, seen in history and export, and
goes when the turn goes. The last word counts; "none" takes it back."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from mongarsd.api.body import decode
from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import json
from mongarsd.api.openai.keeping import COMPLETION, answer_of
from mongarsd.api.openai.responses.items import turn_id
from mongarsd.api.openapi import Route
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest, NotFound
from mongarsd.memory.accounts import account_id
from mongarsd.memory.conversations.types import Turn

#: Characters of a correction: longer than any answer should be.
MAX_CORRECTION = 32_768

#: In the order of what is stored: 0, 1, -1.
Rating = Literal["none", "up", "down"]
_RATINGS = get_args(Rating)


class FeedbackRequest(Struct, frozen=True, kw_only=True):
    id: Annotated[str, Meta(min_length=1, max_length=128)]  # of a response, a stored chat, or an item
    rating: Rating
    correction: Annotated[str, Meta(max_length=MAX_CORRECTION)] = ""  # what the answer should have been


class Feedback(Struct, frozen=True, kw_only=True):
    object: Literal["feedback"] = "feedback"
    id: str  # of the answer's message
    conversation: str
    rating: Rating
    correction: str


_decoder = msgspec.json.Decoder(FeedbackRequest)


async def give_feedback(request: web.Request) -> web.Response:
    body = await decode(request, _decoder)
    if body.rating == "none" and body.correction:
        raise BadRequest('correction: "none" takes feedback back; rate the answer up or down', param="correction")
    whose, store = account_id(account(request)), request.app[PARTS].memory.conversations
    turn = await _answer(request, whose, body.id)
    number = (0, 1, -1)[_RATINGS.index(body.rating)]
    rated = await store.rate(whose, turn.id, number, body.correction)
    return json(
        Feedback(
            id=rated.id,
            conversation=rated.conversation,
            rating=_RATINGS[rated.feedback],
            correction=rated.comment,
        )
    )


async def _answer(request: web.Request, whose: str, name: str) -> Turn:
    """Raises NotFound, BadRequest."""
    memory = request.app[PARTS].memory
    if name.startswith("resp_"):
        return (await memory.responses.get(whose, name)).answer
    if name.startswith(COMPLETION):
        try:
            return await memory.conversations.turn(whose, answer_of(name))
        except NotFound:
            raise NotFound(f"there is no stored answer {name!r}; chats are stored with store: true") from None
    turn = await memory.conversations.turn(whose, turn_id(name))
    if turn.role != "assistant":
        raise BadRequest("id: feedback is for answers, and this is none", param="id")
    return turn


ROUTES = (Route("POST", "/v1/feedback", give_feedback, "Rate a stored answer", FeedbackRequest, Feedback),)
