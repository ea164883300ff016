"""API keys: one extractor, hashes in the settings, comparison in constant time."""

from __future__ import annotations

import hashlib
import hmac

from aiohttp import web

from mongarsd.api.errors import Handler
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import Unauthorized

#: Answered without a key, by their exact raw path: whoever watches the node has none, and they tell nothing.
OPEN = frozenset({"/", "/healthz", "/readyz"})
#: Hex digits of a key's hash that name the account a job is charged to. Useless to guess the key from.
FINGERPRINT = 16


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Without any configured key everything is open; the daemon allows that on loopback only. Raises Unauthorized."""
    keys = request.app[PARTS].settings.server.key_hashes
    if keys and request.raw_path.partition("?")[0] not in OPEN and not account(request):
        raise Unauthorized("this server needs a key that it knows: send `Authorization: Bearer <key>`")
    return await handler(request)


def account(request: web.Request) -> str:
    """Who pays: a fingerprint of the request's key if it is a known one, else ""."""
    return match(key_of(request), request.app[PARTS].settings.server.key_hashes)


def key_of(request: web.Request) -> str:
    """The key, from `Authorization: Bearer` or `x-api-key`; "" if there is none. Two different ones: Unauthorized."""
    keys = {key.strip() for key in request.headers.getall("X-API-Key", [])}
    for header in request.headers.getall("Authorization", []):
        scheme, _, key = header.partition(" ")
        if scheme.lower() == "bearer":
            keys.add(key.strip())
    if len(keys) > 1:
        raise Unauthorized("the request carries two different keys; send one")
    return keys.pop() if keys else ""


def match(key: str, hashes: tuple[str, ...]) -> str:
    """The fingerprint of `key` if its hash is among `hashes`, else "". The time tells nothing about which."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    found = [hmac.compare_digest(f"sha256:{digest}", known) for known in hashes]
    return digest[:FINGERPRINT] if any(found) else ""
