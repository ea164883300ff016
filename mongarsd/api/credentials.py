"""Who asks: one extractor for every kind of credential, one Identity on the request, one check of its scopes.

A key may come as `Authorization: Bearer` or `x-api-key`, a user's token as Bearer. Static keys of the settings are
compared in constant time; those of the database are found by their hash (see memory/access/access.py).
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import struct
from collections.abc import Mapping
from typing import NamedTuple

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractRoute

from mongarsd.api import tokens
from mongarsd.api.errors import Handler
from mongarsd.api.openapi import Route
from mongarsd.api.parts import PARTS, Parts
from mongarsd.api.proxies import came_through_one
from mongarsd.ground.errors import Forbidden, Unauthorized
from mongarsd.memory.access.access import Access
from mongarsd.memory.access.types import Login, Scope

#: Hex digits of a static key's hash that name its account. Useless to guess the key from.
FINGERPRINT = 16
#: The route that aiohttp found, and ours: what is checked is what will be called, however the path was written.
GUARDED: web.AppKey[Mapping[AbstractRoute, Route]] = web.AppKey("guarded", Mapping)

_UCRED = struct.Struct("3i")  # SO_PEERCRED: pid, uid, gid


class Identity(NamedTuple):
    account: str  # "" where no key is needed
    scopes: frozenset[Scope]
    key: str = ""  # a key's id or fingerprint, "user:NAME", "uid:N" on the control socket; "" = nobody in particular
    stamp: str = ""  # of a user's token: another one as soon as the token would no longer be taken, whatever its age


_IDENTITY: web.RequestKey[Identity] = web.RequestKey("identity", Identity)
_ALL = frozenset(Scope)
_STATIC = frozenset({Scope.CHAT, Scope.METRICS})
#: Of this machine, while there is no key: what anybody with one may do, and of an administrator's only what is said
#: to be for the owner.
LOOPBACK = Identity("", _STATIC)


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """For TCP ports. Raises Unauthorized, Forbidden."""
    route = request.app[GUARDED].get(request.match_info.route)
    if route and route.open and request.raw_path.partition("?")[0] == route.path:  # exactly as it was sent
        request[_IDENTITY] = Identity("", frozenset())
        return await handler(request)
    request[_IDENTITY] = await _identify(request)
    if route:
        if not (route.owner and identity(request) is LOOPBACK):
            require(request, route.scope)
        if request.method == "POST" and route.scope is Scope.CHAT:
            request.app[PARTS].rates.request(account(request))
    return await handler(request)


@web.middleware
async def control_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """For the control socket: whoever may open it may do everything. A key only says whose things are meant."""
    known = await _known(request.app[PARTS], *credential(request))
    request[_IDENTITY] = Identity(known.account if known else "", _ALL, _peer(request))
    return await handler(request)


def identity(request: web.Request) -> Identity:
    return request[_IDENTITY]


def account(request: web.Request) -> str:
    """Who pays; "" where no key is needed."""
    return identity(request).account


def rate_headers(request: web.Request) -> dict[str, str]:
    """Of the request's account; none while nobody knows whose it is."""
    known = request.get(_IDENTITY)
    return request.app[PARTS].rates.headers(known.account) if known and known.scopes else {}


def require(request: web.Request, scope: Scope) -> None:
    """Raises Unauthorized if a key would help, Forbidden if this one does not."""
    who = identity(request)
    if scope in who.scopes:
        return
    if not who.key:
        raise Unauthorized(f"this needs a key with the scope {scope}: `mongarsctl keys create NAME --scope {scope}`")
    raise Forbidden(f"this key may not do that: it lacks the scope {scope}")


def over_control_socket(request: web.Request) -> bool:
    return identity(request).scopes is _ALL


def credential(request: web.Request) -> tuple[str, bool]:
    """The key or token, "" if there is none, and whether it came as Bearer. Two different ones: Unauthorized."""
    headers = {key.strip() for key in request.headers.getall("X-API-Key", [])}
    bearers = set()
    for header in request.headers.getall("Authorization", []):
        scheme, _, text = header.partition(" ")
        if scheme.lower() == "bearer":
            bearers.add(text.strip())
    if len(headers | bearers) > 1:
        raise Unauthorized("the request carries two different keys; send one")
    return next(iter(headers | bearers), ""), bool(bearers)


def match(key: str, hashes: tuple[str, ...]) -> str:
    """The fingerprint of `key` if its hash is among `hashes`, else "". The time tells nothing about which."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    found = [hmac.compare_digest(f"sha256:{digest}", known) for known in hashes]
    return fingerprint(f"sha256:{digest}") if any(found) else ""


def fingerprint(known: str) -> str:
    """The account of a static key, by its hash "sha256:…"."""
    return known.removeprefix("sha256:")[:FINGERPRINT]


async def _identify(request: web.Request) -> Identity:
    parts = request.app[PARTS]
    if not _closed(parts):
        if came_through_one(request):  # from beyond this machine, whatever its address
            raise Unauthorized("a request through a proxy needs a key: `mongarsctl setup` makes the first")
        return LOOPBACK
    if known := await _known(parts, *credential(request)):
        return known
    raise Unauthorized("this server needs a key that it knows: send `Authorization: Bearer <key>`")


async def _known(parts: Parts, text: str, bearer: bool) -> Identity | None:
    """Raises StorageUnavailable while it cannot be told."""
    if not text:
        return None
    if static := match(text, parts.settings.server.key_hashes):
        return Identity(static, _STATIC, static)
    access = parts.memory.access
    if key := access.find(text):
        return Identity(key.account, frozenset(key.scopes), key.id)
    if not bearer or not access.token_secret or not tokens.looks_like_one(text):
        return None
    claim = await tokens.verify(text, access.token_secret, access.now())
    login = access.login(claim.user) if claim else None
    if not claim or not login or not hmac.compare_digest(login.stamp.encode(), claim.stamp.encode()):
        return None
    return Identity(login.user.account, frozenset(login.user.scopes), f"user:{login.user.name}", _stamp(access, login))


def holds(parts: Parts, who: Identity) -> bool:
    """Would `who` still be let in? A token that only ran out ends nothing that was begun with it."""
    access = parts.memory.access
    if who.scopes is _ALL:
        return True
    if not who.key:
        return not _closed(parts)
    if name := who.key.removeprefix("user:") if who.stamp else "":
        login = access.login(name)
        return login is not None and hmac.compare_digest(_stamp(access, login), who.stamp)
    return access.holds(who.key) or any(known[7:].startswith(who.key) for known in parts.settings.server.key_hashes)


def _closed(parts: Parts) -> bool:
    """Nobody gets in without a key."""
    return bool(parts.exposed or parts.settings.server.key_hashes or parts.memory.access.required)


def _stamp(access: Access, login: Login) -> str:
    """Changes with the password, the secret of tokens, and what the user may do."""
    scopes = " ".join(login.user.scopes)
    return hmac.new(access.token_secret, f"{login.stamp} {login.user.account} {scopes}".encode(), "sha256").hexdigest()


def _peer(request: web.Request) -> str:
    sock = request.transport.get_extra_info("socket") if request.transport else None
    if sock is None or sock.family != socket.AF_UNIX:
        return "control"
    _, user, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return f"uid:{user}"
