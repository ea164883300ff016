"""/v1/vector_stores: files made searchable, and the search."""

from __future__ import annotations

from typing import Any, cast, get_args

import msgspec
from aiohttp import web

from mongarsd.api.body import decode
from mongarsd.api.openai import vector_store_types as types
from mongarsd.api.openai.answer import json
from mongarsd.api.openai.files import listed, owner, page_of
from mongarsd.api.parts import PARTS
from mongarsd.ground.errors import BadRequest
from mongarsd.memory.documents.documents import Documents
from mongarsd.memory.documents.filters import compile_filter
from mongarsd.memory.documents.types import (
    MAX_PAGE,
    Batch,
    Counts,
    Cut,
    Entry,
    NewEntry,
    Passage,
    Status,
    Store,
)

USUAL = 20  # on a page
RESULTS = 10

_create = msgspec.json.Decoder(types.VectorStoreRequest)
_change = msgspec.json.Decoder(types.VectorStoreChange)
_add = msgspec.json.Decoder(types.StoreFileRequest)
_change_file = msgspec.json.Decoder(types.StoreFileChange)
_batch = msgspec.json.Decoder(types.FileBatchRequest)
_search = msgspec.json.Decoder(types.SearchRequest)


async def create_vector_store(request: web.Request) -> web.Response:
    body = await decode(request, _create)
    _no_expiry(body.expires_after)
    cut = _cut(body.chunking_strategy)
    entries = [NewEntry(file=name, cut=cut) for name in body.file_ids or ()]
    return json(
        _store(await _documents(request).stores.create(owner(request), body.name or "", body.metadata, entries))
    )


async def list_vector_stores(request: web.Request) -> web.Response:
    after, before, limit, order = page_of(request, USUAL, MAX_PAGE)
    found, more = await _documents(request).stores.page(
        owner(request), after=after, before=before, limit=limit, order=order
    )
    return json(listed([_store(store) for store in found], more))


async def get_vector_store(request: web.Request) -> web.Response:
    return json(_store(await _documents(request).stores.get(owner(request), request.match_info["store"])))


async def change_vector_store(request: web.Request) -> web.Response:
    body = await decode(request, _change)
    _no_expiry(body.expires_after)
    store = await _documents(request).stores.change(
        owner(request), request.match_info["store"], name=body.name, metadata=body.metadata
    )
    return json(_store(store))


async def delete_vector_store(request: web.Request) -> web.Response:
    await _documents(request).stores.delete(owner(request), request.match_info["store"])
    return json(types.VectorStoreDeleted(id=request.match_info["store"]))


async def search_vector_store(request: web.Request) -> web.Response:
    body = await decode(request, _search)
    queries = [body.query] if isinstance(body.query, str) else body.query
    found = await _documents(request).search(
        owner(request),
        [request.match_info["store"]],
        "\n".join(queries),
        body.max_num_results or RESULTS,
        test=compile_filter(body.filters) if body.filters else None,
        threshold=(body.ranking_options and body.ranking_options.score_threshold) or 0.0,
    )
    return json(types.SearchResults(search_query=queries, data=[_result(passage) for passage in found]))


async def add_vector_store_file(request: web.Request) -> web.Response:
    body = await decode(request, _add)
    store = request.match_info["store"]
    await _documents(request).stores.add(owner(request), store, [_new(body)])
    return json(_file(await _documents(request).stores.entry(owner(request), store, body.file_id)))


async def list_vector_store_files(request: web.Request) -> web.Response:
    return await _entries(request, "")


async def get_vector_store_file(request: web.Request) -> web.Response:
    return json(_file(await _documents(request).stores.entry(owner(request), *_names(request))))


async def get_vector_store_file_content(request: web.Request) -> web.Response:
    texts = await _documents(request).stores.text(owner(request), *_names(request))
    return json(types.FileText(data=[types.Text(text) for text in texts]))


async def change_vector_store_file(request: web.Request) -> web.Response:
    body = await decode(request, _change_file)
    stores = _documents(request).stores
    return json(_file(await stores.change_entry(owner(request), *_names(request), body.attributes or {})))


async def remove_vector_store_file(request: web.Request) -> web.Response:
    await _documents(request).stores.remove(owner(request), *_names(request))
    return json(types.VectorStoreFileDeleted(id=request.match_info["file"]))


async def create_file_batch(request: web.Request) -> web.Response:
    body = await decode(request, _batch)
    if (body.file_ids is None) == (body.files is None):
        raise BadRequest("file_ids: give either file_ids or files", param="file_ids")
    attributes, cut = body.attributes or {}, _cut(body.chunking_strategy)
    entries = [NewEntry(file=name, attributes=attributes, cut=cut) for name in body.file_ids or ()]
    entries += [_new(file) for file in body.files or ()]
    store = request.match_info["store"]
    made = await _documents(request).stores.add(owner(request), store, entries, batch=True)
    return json(_file_batch(await _documents(request).stores.batch(owner(request), store, made)))


async def get_file_batch(request: web.Request) -> web.Response:
    match = request.match_info
    return json(_file_batch(await _documents(request).stores.batch(owner(request), match["store"], match["batch"])))


async def cancel_file_batch(request: web.Request) -> web.Response:
    match = request.match_info
    return json(_file_batch(await _documents(request).stores.cancel(owner(request), match["store"], match["batch"])))


async def list_file_batch_files(request: web.Request) -> web.Response:
    match = request.match_info
    await _documents(request).stores.batch(owner(request), match["store"], match["batch"])
    return await _entries(request, match["batch"])


async def _entries(request: web.Request, batch: str) -> web.Response:
    after, before, limit, order = page_of(request, USUAL, MAX_PAGE)
    status = request.query.get("filter")
    if status is not None and status not in get_args(Status):
        raise BadRequest(f"filter: one of {', '.join(get_args(Status))}", param="filter")
    found, more = await _documents(request).stores.entries(
        owner(request), request.match_info["store"], batch=batch, status=cast(Status | None, status),
        after=after, before=before, limit=limit, order=order,
    )  # fmt: skip
    return json(listed([_file(entry) for entry in found], more))


def _documents(request: web.Request) -> Documents:
    return request.app[PARTS].memory.documents


def _names(request: web.Request) -> tuple[str, str]:
    return request.match_info["store"], request.match_info["file"]


def _no_expiry(given: dict[str, Any] | None) -> None:
    """Raises BadRequest."""
    if given is not None:
        raise BadRequest("expires_after: vector stores stay here until they are deleted", param="expires_after")


def _cut(given: types.Chunking | None) -> Cut:
    """Raises BadRequest."""
    if given is None or given.type == "auto":
        return Cut()
    if given.static is None:
        raise BadRequest("chunking_strategy.static: required, and missing", param="chunking_strategy.static")
    most, overlap = given.static.max_chunk_size_tokens, given.static.chunk_overlap_tokens
    if overlap > most // 2:
        raise BadRequest(
            f"chunking_strategy.static.chunk_overlap_tokens: at most half of max_chunk_size_tokens ({most // 2})",
            param="chunking_strategy.static.chunk_overlap_tokens",
        )
    return Cut(most, overlap)


def _new(given: types.StoreFileRequest) -> NewEntry:
    return NewEntry(file=given.file_id, attributes=given.attributes or {}, cut=_cut(given.chunking_strategy))


def _store(store: Store) -> types.VectorStore:
    return types.VectorStore(
        id=store.id, created_at=int(store.created), last_active_at=int(store.used), name=store.name,
        status="in_progress" if store.counts.in_progress else "completed", usage_bytes=store.bytes,
        file_counts=_counts(store.counts), metadata=store.metadata,
    )  # fmt: skip


def _counts(counts: Counts) -> types.FileCounts:
    return types.FileCounts(
        in_progress=counts.in_progress, completed=counts.completed, failed=counts.failed, cancelled=counts.cancelled,
        total=counts.total,
    )  # fmt: skip


def _file(entry: Entry) -> types.VectorStoreFile:
    return types.VectorStoreFile(
        id=entry.file, created_at=int(entry.created), vector_store_id=entry.store, status=entry.status,
        last_error=types.LastError(entry.code or "server_error", entry.message) if entry.message else None,
        usage_bytes=entry.bytes, attributes=entry.attributes,
        chunking_strategy=types.UsedChunking(static=types.StaticChunking(entry.cut.most, entry.cut.overlap)),
        filename=entry.filename, digest=entry.digest,
    )  # fmt: skip


def _file_batch(batch: Batch) -> types.FileBatch:
    counts = batch.counts
    status = "in_progress" if counts.in_progress else "cancelled" if counts.cancelled else "completed"
    return types.FileBatch(
        id=batch.id, created_at=int(batch.created), vector_store_id=batch.store,
        status=status,  # type: ignore[arg-type]  # mypy makes a plain str of the nested condition
        file_counts=_counts(counts),
    )  # fmt: skip


def _result(passage: Passage) -> types.SearchResult:
    return types.SearchResult(
        file_id=passage.file, filename=passage.filename, score=round(passage.score, 4), attributes=passage.attributes,
        content=[types.Text(passage.text)], vector_store_id=passage.store, headings=passage.headings,
        page=passage.page, start=passage.start, end=passage.end,
    )  # fmt: skip
