"""POST /v1/token: a password for a token that lives an hour."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from mongarsd.api import tokens
from mongarsd.api.body import decode
from mongarsd.api.logins import network
from mongarsd.api.parts import PARTS
from mongarsd.api.proxies import client_address
from mongarsd.ground.errors import RateLimited, Unauthorized


class TokenRequest(Struct, frozen=True):
    username: Annotated[str, Meta(min_length=1, max_length=64)]
    password: Annotated[str, Meta(min_length=1, max_length=256)]


class Token(Struct, frozen=True, kw_only=True):
    access_token: str
    token_type: str = "bearer"  # noqa: S105
    expires_in: int  # seconds


#: Bytes of a request, with every letter escaped: nobody who is still a stranger has more to say.
MAX_BODY = 4096

_decoder = msgspec.json.Decoder(TokenRequest)


async def create_token(request: web.Request) -> web.Response:
    """Raises Unauthorized, RateLimited, Busy."""
    body = await decode(request, _decoder, MAX_BODY)
    parts = request.app[PARTS]
    access = parts.memory.access
    now = parts.clock.monotonic()
    tries = ((parts.user_attempts, body.username), (parts.address_attempts, network(client_address(request))))
    if wait := max(attempts.wait(who, now) for attempts, who in tries):
        raise RateLimited("too many wrong passwords; try again later", retry_after=wait)
    for attempts, who in tries:
        attempts.missed(who, now)  # before the check: others may come while it runs
    login = access.login(body.username)
    right = await access.passwords.check(body.password, login.hash if login else None)
    if not right or login is None or access.login(body.username) is not login:
        raise Unauthorized("the user or the password is wrong")
    for attempts, who in tries:
        attempts.succeeded(who)
    lifetime = parts.settings.accounts.token_lifetime
    text = await tokens.sign(tokens.Claim(body.username, login.stamp), access.token_secret, access.now(), lifetime)
    made = Token(access_token=text, expires_in=int(lifetime))
    return web.Response(
        body=msgspec.json.encode(made), content_type="application/json", headers={"Cache-Control": "no-store"}
    )
