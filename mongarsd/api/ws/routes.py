"""POST /v1/ws/ticket and GET /v1/ws"""

from __future__ import annotations

import re
from typing import Literal

import msgspec
from aiohttp import web
from msgspec import Struct

from mongarsd.api.body import decode
from mongarsd.api.credentials import identity
from mongarsd.api.openai.answer import json
from mongarsd.api.openapi import Route
from mongarsd.api.ws.hub import HUB, KEEP
from mongarsd.api.ws.socket import Socket, gap, opened, upgrade
from mongarsd.api.ws.tickets import LASTS
from mongarsd.ground.errors import BadRequest, Unauthorized

_SESSION = re.compile(r"ws_[A-Za-z0-9_-]{1,64}")
_SEQ = re.compile(r"[0-9]{1,15}")


class TicketRequest(Struct, frozen=True):
    """Nothing has to be said; the body may be missing."""


class Ticket(Struct, frozen=True, kw_only=True):
    object: Literal["ws.ticket"] = "ws.ticket"
    ticket: str
    expires_in: int = int(LASTS)  # seconds


_request = msgspec.json.Decoder(TicketRequest)


async def create_ws_ticket(request: web.Request) -> web.Response:
    if request.can_read_body:
        await decode(request, _request)
    return json(Ticket(ticket=request.app[HUB].issue(identity(request))))


async def open_ws(request: web.Request) -> web.StreamResponse:
    """?ticket= [&session= &after=]"""
    hub, ws = request.app[HUB], upgrade()
    if request.headers.get("Upgrade", "").strip().lower() != "websocket":
        raise web.HTTPUpgradeRequired(
            headers={"Upgrade": "websocket"}, text="open a WebSocket here, with a ticket of POST /v1/ws/ticket"
        )
    if "Sec-WebSocket-Protocol" in request.headers:  # where some clients put keys, and aiohttp would log it
        raise BadRequest("no subprotocol is spoken here: open the WebSocket without one")
    name, after = _place(request)
    if not ws.can_prepare(request):
        raise BadRequest("this is no valid WebSocket handshake")
    who = hub.admit(_ticket(request))
    found = hub.find(name, who)
    if found and after > found.log.last:
        raise BadRequest(f"after: this session has {found.log.last} events so far", param="after")
    await ws.prepare(request)
    found = hub.find(name, who)  # it may have ended meanwhile
    session, seen = (found, after) if found else (hub.open(who), 0)
    first = [opened(session, resumed=found is not None, after=seen, keep=KEEP)]
    if name and (missing := gap(found, after)):
        first.append(missing)
    socket = Socket(hub, session, ws)
    hub.attach(session, socket, who, seen)
    await socket.serve(first)
    return ws


def _ticket(request: web.Request) -> str:
    """Raises Unauthorized."""
    given = request.query.getall("ticket", [])
    if len(given) != 1:
        raise Unauthorized("a WebSocket needs a ticket in its address: POST /v1/ws/ticket gives one")
    return given[0]


def _place(request: web.Request) -> tuple[str, int]:
    """Session and the last event seen, "" and 0 for a new session. Raises BadRequest."""
    name, after = request.query.get("session", ""), request.query.get("after", "0")
    if name and not _SESSION.fullmatch(name):
        raise BadRequest("session: the name that session.opened told", param="session")
    if not _SEQ.fullmatch(after):
        raise BadRequest("after: the seq of the last event that was seen", param="after")
    return name, int(after)


ROUTES = (
    Route(
        "POST", "/v1/ws/ticket", create_ws_ticket, "What opens one WebSocket within 30 seconds", TicketRequest, Ticket
    ),
    Route("GET", "/v1/ws", open_ws, "Commands and events: docs/api.md", open=True, upgrade=True),
)
