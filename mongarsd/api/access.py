"""A line and a count for each request: method, path, status, time, bytes, client. Never a query, a body or a key."""

from __future__ import annotations

import logging

from aiohttp import web

from mongarsd.api.errors import Handler
from mongarsd.api.parts import PARTS
from mongarsd.api.proxies import client_address

log = logging.getLogger(__name__)

#: What nginx calls a client that went away.
CLIENT_GONE = 499
MAX_PATH = 200


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    clock = request.app[PARTS].clock
    begin = clock.monotonic()
    client = client_address(request) or "local"  # now: a client that goes away takes its address along
    status, size = CLIENT_GONE, 0
    try:
        response = await handler(request)
        status = response.status
        if isinstance(response, web.Response) and isinstance(response.body, (bytes, bytearray)):
            size = len(response.body)
        return response
    finally:
        _record(request, client, status, size or request.writer.output_size, clock.monotonic() - begin)


def _record(request: web.Request, client: str, status: int, size: int, seconds: float) -> None:
    resource = request.match_info.route.resource
    # The route's pattern, not the path: a label must not grow with what clients send.
    route = resource.canonical if resource else "none"
    http = request.app[PARTS].http
    http.requests.add(request.method if resource else "other", route, str(status))
    http.seconds.observe(seconds, route)
    if not log.isEnabledFor(logging.INFO):
        return
    path = request.raw_path.partition("?")[0][:MAX_PATH]
    log.info("%s %s %d %.0f ms %d B %s", request.method, path, status, seconds * 1000, size, client)
