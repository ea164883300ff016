"""POST /v1/responses/input_tokens"""

from __future__ import annotations

import msgspec
from aiohttp import web
from msgspec import structs

from mongarsd.api.body import decode
from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import json
from mongarsd.api.openai.requests import MemoryOptions
from mongarsd.api.openai.responses.answers import InputTokens
from mongarsd.api.openai.responses.requests import ResponseRequest
from mongarsd.api.openai.responses.work import prepare
from mongarsd.api.parts import PARTS

_decoder = msgspec.json.Decoder(ResponseRequest)


async def count_input_tokens(request: web.Request) -> web.Response:
    """Of the prompt that the same request to /v1/responses would have. Who counts orders nothing to be remembered."""
    body = await decode(request, _decoder)
    body = structs.replace(body, memory=structs.replace(body.memory or MemoryOptions(), remember=False))
    work = await prepare(request.app[PARTS], account(request), body)
    return json(InputTokens(input_tokens=await work.count()))
