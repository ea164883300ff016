"""Files that are uploaded to be searched, and the vector stores that hold them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from mongarsd.client.call import QUICK, Call, Page, Paged, given, path
from mongarsd.client.form import FileForm

_FILES, _STORES = "/v1/files", "/v1/vector_stores"


class File(Struct, frozen=True, kw_only=True):
    id: str
    bytes: int = 0
    created_at: int = 0
    filename: str = ""
    digest: str = ""  # "sha256:…"


class FileCounts(Struct, frozen=True, kw_only=True):
    in_progress: int
    completed: int
    failed: int
    total: int


class VectorStore(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    usage_bytes: int
    file_counts: FileCounts


class StoredFile(Struct, frozen=True, kw_only=True):
    """A file of a vector store."""

    id: str
    status: str = ""  # "in_progress", "completed", "failed"
    filename: str = ""
    digest: str = ""
    usage_bytes: int = 0
    attributes: dict[str, str | float | bool] = {}
    last_error: dict[str, str] | None = None


def upload(file: str | os.PathLike[str], *, purpose: str = "assistants") -> Call[File]:
    """Send a text, Markdown, HTML or PDF file. Raises OSError."""
    return Call("POST", _FILES, File, FileForm(Path(file), purpose))


def delete_file(name: str) -> Call[None]:
    """Delete a file, from every store too."""
    return Call("DELETE", path(_FILES, name), type(None))


def stores(*, limit: int = 100) -> Paged[VectorStore]:
    """All vector stores, oldest first."""
    return Paged(
        lambda after: Call("GET", path(_STORES, limit=limit, order="asc", after=after or None), Page[VectorStore])
    )


def create_store(name: str) -> Call[VectorStore]:
    """Make a vector store."""
    return Call("POST", _STORES, VectorStore, {"name": name})


def store(name: str) -> Call[VectorStore]:
    """One vector store, by its id."""
    return Call("GET", path(_STORES, name), VectorStore, timeout=QUICK)


def stored_files(store: str, *, limit: int = 100) -> Paged[StoredFile]:
    """The files of a store, oldest first."""
    base = path(_STORES, store, "files")
    return Paged(lambda after: Call("GET", path(base, limit=limit, order="asc", after=after or None), Page[StoredFile]))


def store_file(
    store: str, file: str, *, attributes: Mapping[str, str | float | bool] | None = None
) -> Call[StoredFile]:
    """Put an uploaded file into a store; it is read in the background."""
    return Call("POST", path(_STORES, store, "files"), StoredFile, given({"attributes": attributes}, file_id=file))
