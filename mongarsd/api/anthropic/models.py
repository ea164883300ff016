"""GET /v1/models and /v1/models/{id} for Anthropic's clients: the models that answer /v1/messages, the newest first."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from mongarsd.api.anthropic.answers import ModelInfo, ModelPage
from mongarsd.api.ollama.times import stamp
from mongarsd.api.openai.answer import json
from mongarsd.api.parts import PARTS, Parts
from mongarsd.ground.errors import BadRequest, ModelNotFound
from mongarsd.ground.status import ModelStatus

USUAL, MOST = 20, 1000  # models of a page, as Anthropic has it


async def anthropic_models(request: web.Request) -> web.Response:
    parts, query = request.app[PARTS], request.query
    after, before = query.get("after_id", ""), query.get("before_id", "")
    limit = _limit(query.get("limit", str(USUAL)))
    chat = [model for model in parts.models.list() if model.kind == "chat"]
    known = [_info(parts, model) for model in sorted(chat, key=lambda model: (-model.modified, model.name))]
    data, more = page(known, after, before, limit)
    return json(
        ModelPage(
            data=data, has_more=more, first_id=data[0].id if data else None, last_id=data[-1].id if data else None
        )
    )


async def anthropic_model(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    model = parts.models.get(request.match_info["id"])
    if model.kind != "chat":
        raise ModelNotFound(f"{model.name} answers no messages; /v1/models lists those that do", param="model")
    return json(_info(parts, model))


def page(known: Sequence[ModelInfo], after: str, before: str, limit: int) -> tuple[list[ModelInfo], bool]:
    """Those next to an id, and whether more follow in that direction. Raises BadRequest. Pure."""
    if after and before:
        raise BadRequest("after_id and before_id: only one of them", param="before_id")
    places = {model.id: place for place, model in enumerate(known)}
    for name, value in (("after_id", after), ("before_id", before)):
        if value and value not in places:
            raise BadRequest(f"{name}: there is no model {value[:64]!r} in the list", param=name)
    if before:
        end = places[before]
        return list(known[max(end - limit, 0) : end]), end > limit
    start = places[after] + 1 if after else 0
    return list(known[start : start + limit]), start + limit < len(known)


def _limit(text: str) -> int:
    """Raises BadRequest."""
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MOST):
        raise BadRequest(f"limit: from 1 to {MOST}", param="limit")
    return int(text)


def _info(parts: Parts, model: ModelStatus) -> ModelInfo:
    return ModelInfo(
        id=model.name,
        display_name=model.name,
        created_at=stamp(model.modified),
        max_input_tokens=model.context or model.context_length or None,
        max_tokens=parts.settings.inference.max_tokens,
    )
