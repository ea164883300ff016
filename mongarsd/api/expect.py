"""`Expect: 100-continue`: a body is asked for when nothing stands against the request any more but what it may hold.

That is after host, key, scope and rate, and before the handler reads. aiohttp would ask for it before any of them.
"""

from __future__ import annotations

from aiohttp import HttpVersion11, hdrs, web

from mongarsd.api import guard
from mongarsd.api.errors import Handler
from mongarsd.api.openai.upload import OVERHEAD
from mongarsd.api.parts import PARTS


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Behind the checks. Raises aiohttp's 417."""
    if hdrs.EXPECT in request.headers and request.version >= HttpVersion11:
        await _answer(request)
    return await handler(request)


async def not_yet(request: web.Request) -> None:
    """In the place of aiohttp's own answer, which comes before any middleware."""


async def _answer(request: web.Request) -> None:
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        raise web.HTTPExpectationFailed(text="only 100-continue can be expected here")
    settings = request.app[PARTS].settings
    most = settings.documents.max_file + OVERHEAD if guard.takes_form(request) else settings.server.max_body
    if (request.content_length or 0) <= most:  # else the handler refuses it, unread
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
