"""POST /api/chat"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from msgspec import UNSET

from mongarsd.api.body import decode
from mongarsd.api.ollama.answer import Asked, load, respond
from mongarsd.api.ollama.answers import OllamaCall, OllamaChatLine, OllamaSaid
from mongarsd.api.ollama.decoding import Decoder
from mongarsd.api.ollama.find import find, need
from mongarsd.api.ollama.jobs import chat_job
from mongarsd.api.ollama.keep_alive import seconds
from mongarsd.api.ollama.requests import OllamaChat
from mongarsd.api.parts import PARTS

_decoder = Decoder(OllamaChat)


async def ollama_chat(request: web.Request) -> web.StreamResponse:
    body = await decode(request, _decoder)
    kept = seconds(body.keep_alive)
    model = find(request, body.model)
    need(model, body.model, "chat")
    asked = Asked(request, body.model, model, _line, kept, truncate=body.truncate)
    if not body.messages:
        return await load(asked)
    job = await request.app[PARTS].aside(bool(body.tools or body.format), chat_job, body, model, asked.order)
    return await respond(asked, job, body.stream)


def _line(text: str, thinking: str, calls: list[OllamaCall], **common: Any) -> OllamaChatLine:
    said = OllamaSaid(content=text, thinking=thinking or UNSET, tool_calls=calls or UNSET)
    return OllamaChatLine(message=said, **common)
