"""GET /healthz: the process answers. GET /readyz: it is of use, or why not. Neither needs a key."""

from __future__ import annotations

import msgspec
from aiohttp import web

from mongarsd.api.parts import PARTS


class Alive(msgspec.Struct, frozen=True):
    status: str = "ok"


class Readiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """`checks`: the name of each check, and "ok" or the reason why not. `warnings`: what fails, but stops no answer."""

    status: str
    checks: dict[str, str]
    warnings: dict[str, str] = {}


async def healthz(request: web.Request) -> web.Response:  # noqa: ARG001
    return web.Response(body=msgspec.json.encode(Alive()), content_type="application/json")


async def readyz(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    checks = {name: check() or "ok" for name, check in parts.checks.items()}
    warnings = {name: text for name, check in parts.hints.items() if (text := check())}
    ready = all(result == "ok" for result in checks.values())
    body = Readiness("ready" if ready else "not ready", checks, warnings)
    return web.Response(
        body=msgspec.json.encode(body),
        status=200 if ready else 503,
        content_type="application/json",
        headers={} if ready else {"Retry-After": "5"},
    )
