"""POST /api/generate"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from msgspec import UNSET

from mongarsd.api.body import decode
from mongarsd.api.ollama.answer import Asked, load, respond
from mongarsd.api.ollama.answers import OllamaCall, OllamaGenerateLine
from mongarsd.api.ollama.decoding import Decoder
from mongarsd.api.ollama.find import find, need
from mongarsd.api.ollama.jobs import generate_job
from mongarsd.api.ollama.keep_alive import seconds
from mongarsd.api.ollama.requests import OllamaGenerate
from mongarsd.api.parts import PARTS

_decoder = Decoder(OllamaGenerate)


async def ollama_generate(request: web.Request) -> web.StreamResponse:
    body = await decode(request, _decoder)
    kept = seconds(body.keep_alive)
    model = find(request, body.model)
    asked = Asked(request, body.model, model, _line, kept, truncate=body.truncate)
    if not body.prompt and kept == 0:
        return await load(asked)  # out of memory, whatever it is good for
    need(model, body.model, "generate")
    job = await request.app[PARTS].aside(bool(body.format), generate_job, body, model, asked.order)
    return await (respond(asked, job, body.stream) if body.prompt else load(asked))


def _line(text: str, thinking: str, calls: list[OllamaCall], **common: Any) -> OllamaGenerateLine:  # noqa: ARG001
    return OllamaGenerateLine(response=text, thinking=thinking or UNSET, **common)
