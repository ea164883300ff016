"""/v1/files: what a client uploads to have it searched."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar, cast, get_args
from urllib.parse import quote

from aiohttp import web
from msgspec import Struct

from mongarsd.api.credentials import account
from mongarsd.api.openai.answer import json
from mongarsd.api.openai.upload import Form
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest
from mongarsd.memory.accounts import account_id
from mongarsd.memory.documents.files import MAX_FILES_PAGE, Order
from mongarsd.memory.documents.types import File

T = TypeVar("T")

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]


class FileObject(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"
    digest: str  # ours: "sha256:…"


class Listed(Struct, Generic[T], frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[T]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


async def create_file(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    form = Form(request, parts.settings.server.header_timeout)
    name = await form.open()
    files = parts.memory.documents.files
    file = await files.create(owner(request), name, lambda: _purpose(form.fields), form.pieces(), form.announced)
    return json(file_object(file))


async def list_files(request: web.Request) -> web.Response:
    after, _, limit, order = page_of(request, MAX_FILES_PAGE, MAX_FILES_PAGE)
    found, more = await request.app[PARTS].memory.documents.files.page(
        owner(request), purpose=request.query.get("purpose", ""), after=after, limit=limit, order=order
    )
    return json(listed([file_object(file) for file in found], more))


async def get_file(request: web.Request) -> web.Response:
    files = request.app[PARTS].memory.documents.files
    return json(file_object(await files.get(owner(request), request.match_info["file"])))


async def get_file_content(request: web.Request) -> web.StreamResponse:
    files = request.app[PARTS].memory.documents.files
    file, path = await files.content(owner(request), request.match_info["file"])
    return web.FileResponse(
        path,
        headers={
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}",
            "Cache-Control": "no-store",
        },
    )


async def delete_file(request: web.Request) -> web.Response:
    await request.app[PARTS].memory.documents.files.delete(owner(request), request.match_info["file"])
    return json(FileDeleted(id=request.match_info["file"]))


def owner(request: web.Request) -> str:
    """Whose documents these are."""
    return account_id(account(request))


def file_object(file: File) -> FileObject:
    return FileObject(
        id=file.id, bytes=file.bytes, created_at=int(file.created), filename=file.filename, purpose=file.purpose,
        digest=file.digest,
    )  # fmt: skip


def listed(data: list[T], more: bool) -> Listed[T]:
    """`data`: objects with an id."""
    ids = [cast(FileObject, one).id for one in data]
    return Listed(data=data, first_id=ids[0] if ids else None, last_id=ids[-1] if ids else None, has_more=more)


def page_of(request: web.Request, usual: int, most: int, usual_order: Order = "desc") -> tuple[str, str, int, Order]:
    """after, before, limit and order of the query. Raises BadRequest."""
    query = request.query
    limit, order = query.get("limit", str(usual)), query.get("order", usual_order)
    if not (limit.isascii() and limit.isdigit() and len(limit) < 7 and 1 <= int(limit) <= most):
        raise BadRequest(f"limit: from 1 to {most}", param="limit")
    if order not in get_args(Order):
        raise BadRequest("order: asc or desc", param="order")
    return query.get("after", ""), query.get("before", ""), int(limit), cast(Order, order)


def _purpose(fields: dict[str, str]) -> str:
    """Raises BadRequest."""
    if any(name.startswith("expires_after") for name in fields):
        raise BadRequest("expires_after: files stay here until they are deleted", param="expires_after")
    purpose = fields.get("purpose", "")
    if purpose not in get_args(Purpose):
        raise BadRequest(f"purpose: one of {', '.join(get_args(Purpose))}", param="purpose")
    return purpose
