"""The administration of keys, users, tokens, and what the audit log says."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from mongarsd.api.audit import target
from mongarsd.api.body import decode
from mongarsd.api.openapi import Route
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest
from mongarsd.memory.access.types import Action, Key, NewKey, Scope, User

_Name = Annotated[str, Meta(min_length=1, max_length=64)]
_Password = Annotated[str, Meta(min_length=1, max_length=256)]
_Scopes = Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=len(Scope))]
MOST_ACTIONS = 1000


class KeyRequest(Struct, frozen=True, kw_only=True):
    name: _Name
    account: _Name
    scopes: _Scopes = (Scope.CHAT,)
    lasts: Annotated[float, Meta(ge=1.0, le=3_155_760_000.0)] | None = None  # seconds; None = until it is revoked


class UserRequest(Struct, frozen=True, kw_only=True):
    name: _Name
    password: _Password
    account: _Name
    scopes: _Scopes = (Scope.CHAT,)


class PasswordRequest(Struct, frozen=True, kw_only=True):
    password: _Password


_key_decoder = msgspec.json.Decoder(KeyRequest)
_user_decoder = msgspec.json.Decoder(UserRequest)
_password_decoder = msgspec.json.Decoder(PasswordRequest)


async def list_keys(request: web.Request) -> web.Response:
    return _json(request.app[PARTS].memory.access.keys())


async def create_key(request: web.Request) -> web.Response:
    """The only answer with a key in it."""
    body = await decode(request, _key_decoder)
    made = await request.app[PARTS].memory.access.create_key(
        body.name, account=body.account, scopes=body.scopes, lasts=body.lasts
    )
    target(request, f"{made.key.id} ({made.key.name}) of {made.key.account}")
    return _json(made)


async def revoke_key(request: web.Request) -> web.Response:
    key = await request.app[PARTS].memory.access.revoke(request.match_info["key"])
    target(request, f"{key.id} ({key.name})")
    return _json(key)


async def list_users(request: web.Request) -> web.Response:
    return _json(request.app[PARTS].memory.access.users())


async def add_user(request: web.Request) -> web.Response:
    body = await decode(request, _user_decoder)
    target(request, body.name)
    access = request.app[PARTS].memory.access
    return _json(await access.add_user(body.name, body.password, account=body.account, scopes=body.scopes))


async def change_password(request: web.Request) -> web.Response:
    body = await decode(request, _password_decoder)
    return _json(await request.app[PARTS].memory.access.set_password(request.match_info["name"], body.password))


async def remove_user(request: web.Request) -> web.Response:
    return _json(await request.app[PARTS].memory.access.remove_user(request.match_info["name"]))


async def rotate_tokens(request: web.Request) -> web.Response:
    await request.app[PARTS].memory.access.rotate()
    return web.Response(status=204)


async def audit_log(request: web.Request) -> web.Response:
    """?limit=100, newest first"""
    text = request.query.get("limit", "100")
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST_ACTIONS):
        raise BadRequest(f"limit: a number from 1 to {MOST_ACTIONS}", param="limit")
    return _json(await request.app[PARTS].memory.audit.newest(int(text)))


KEYS = (
    Route("GET", "/admin/keys", list_keys, "All keys, without their secrets", answer=list[Key]),
    Route("POST", "/admin/keys", create_key, "Make a key; it is shown only here", KeyRequest, NewKey),
    Route("DELETE", "/admin/keys/{key}", revoke_key, "Revoke a key, by id or name", answer=Key),
    Route("GET", "/admin/users", list_users, "All users", answer=list[User]),
    Route("POST", "/admin/users", add_user, "Add a user", UserRequest, User),
    Route("POST", "/admin/users/{name}/password", change_password, "Set a password", PasswordRequest, User),
    Route("DELETE", "/admin/users/{name}", remove_user, "Remove a user; the account stays", answer=User),
    Route("POST", "/admin/tokens/rotate", rotate_tokens, "End the life of every token"),
    Route("GET", "/admin/audit", audit_log, "What administrators did, newest first", answer=list[Action]),
)


def _json(value: Any) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", headers=headers)
