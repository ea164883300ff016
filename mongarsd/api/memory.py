"""The administration of the database of conversations: what it holds, backups, a check, an export."""

from __future__ import annotations

from typing import Annotated, Any, cast

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from mongarsd.api.audit import target
from mongarsd.api.body import decode
from mongarsd.api.credentials import fingerprint
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest, NotFound
from mongarsd.memory.accounts import LOCAL
from mongarsd.memory.conversations.export import Form, export


class RestoreRequest(Struct, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=128)]


class Checked(Struct, frozen=True):
    """What is not ok is an error."""

    result: str = "ok"


class AccountChange(Struct, frozen=True, kw_only=True):
    """See AccountSettings; what is absent stays."""

    recall: bool | UnsetType = UNSET
    remember: bool | UnsetType = UNSET
    max_age: float | UnsetType = UNSET  # seconds
    max_bytes: int | UnsetType = UNSET
    requests_per_minute: int | UnsetType | None = UNSET
    tokens_per_minute: int | UnsetType | None = UNSET
    jobs: int | UnsetType | None = UNSET


_restore_decoder = msgspec.json.Decoder(RestoreRequest)
_change_decoder = msgspec.json.Decoder(AccountChange)
_TYPES = {"json": "application/x-ndjson", "markdown": "text/markdown; charset=utf-8"}


async def memory_status(request: web.Request) -> web.Response:
    return _json(await request.app[PARTS].memory.status())


async def memory_backup(request: web.Request) -> web.Response:
    return _json(await request.app[PARTS].memory.backup())


async def memory_restore(request: web.Request) -> web.Response:
    body = await decode(request, _restore_decoder)
    target(request, body.name)
    return _json(await request.app[PARTS].memory.restore(body.name))


async def memory_check(request: web.Request) -> web.Response:
    await request.app[PARTS].memory.check()
    return _json(Checked())


async def memory_accounts(request: web.Request) -> web.Response:
    return _json(await request.app[PARTS].memory.accounts.list())


async def memory_account(request: web.Request) -> web.Response:
    body = await decode(request, _change_decoder)
    changes = {name: value for name, value in structs.asdict(body).items() if value is not UNSET}
    name = request.match_info["id"]
    target(request, f"{name} ({', '.join(f'{field}={value}' for field, value in changes.items())})")
    await _check_account(request, name)
    return _json(await request.app[PARTS].memory.accounts.change(name, **changes))


async def memory_export(request: web.Request) -> web.StreamResponse:
    """?account=ID&form=json|markdown. Fails now, not half-way."""
    form, account = request.query.get("form", "json"), request.query.get("account", LOCAL)
    if form not in _TYPES:
        raise BadRequest("form: json or markdown", param="form")
    target(request, account)
    await _check_account(request, account)
    store = request.app[PARTS].memory.conversations
    await store.list(account, limit=1)
    response = web.StreamResponse(headers={"Content-Type": _TYPES[form], "Cache-Control": "no-store"})
    await response.prepare(request)
    async for piece in export(store, account, cast(Form, form)):
        await response.write(piece.encode())
    return response


async def _check_account(request: web.Request, name: str) -> None:
    """One that a key or user has, or something was stored for: a name that nobody has is a slip of the pen. Raises
    NotFound."""
    parts = request.app[PARTS]
    unstored = {LOCAL, *map(fingerprint, parts.settings.server.key_hashes)}
    if name not in unstored and all(one.id != name for one in await parts.memory.accounts.list()):
        raise NotFound("there is no such account: see `mongarsctl accounts list`", param="account")


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
