"""/v1/models, the one address that OpenAI's and Anthropic's clients share: each is answered in its own words."""

from __future__ import annotations

from aiohttp import web

from mongarsd.api.anthropic.models import anthropic_model, anthropic_models
from mongarsd.api.errors import for_anthropic
from mongarsd.api.openai.models import openai_model, openai_models


async def models(request: web.Request) -> web.Response:
    return await (anthropic_models if for_anthropic(request) else openai_models)(request)


async def model(request: web.Request) -> web.Response:
    return await (anthropic_model if for_anthropic(request) else openai_model)(request)
