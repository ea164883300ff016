"""Every action of an administrator that changes something goes into the audit log, whether it worked or not, and so
does looking at what is somebody's: what names its target."""

from __future__ import annotations

import logging

from aiohttp import web

from mongarsd.api import errors
from mongarsd.api.credentials import GUARDED, identity
from mongarsd.api.errors import Handler
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import MongarsError
from mongarsd.memory.access.types import Action, Scope

log = logging.getLogger(__name__)

_TARGET: web.RequestKey[str] = web.RequestKey("target", str)
#: What nginx calls a client that went away.
_CLIENT_GONE = 499


def target(request: web.Request, name: str) -> None:
    """What the action is about, where the path does not say it. Nothing secret."""
    request[_TARGET] = name


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """After the check of scopes: what is refused there is no action."""
    route = request.app[GUARDED].get(request.match_info.route)
    if not route or route.scope is not Scope.ADMIN:
        return await handler(request)
    status = _CLIENT_GONE
    try:
        response = await handler(request)
        status = response.status
        return response
    except Exception as error:
        if not isinstance(error, ConnectionError):
            status = errors.status(error)
        raise
    finally:
        if route.method != "GET" or _TARGET in request:
            await _record(request, f"{route.method} {route.path}", status)


async def _record(request: web.Request, what: str, status: int) -> None:
    parts = request.app[PARTS]
    named = request.get(_TARGET, "") or ", ".join(request.match_info.values())
    action = Action(
        at=parts.clock.wall(), who=identity(request).key or "loopback", what=what, target=named, status=status
    )
    try:
        await parts.memory.audit.record(action)
    except MongarsError as error:
        log.warning("not in the audit log, because %s: %s by %s", error.message, what, action.who)
