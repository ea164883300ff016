"""What /v1/vector_stores takes and gives: OpenAI's names, and what a citation needs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from mongarsd.memory.documents.types import MAX_RESULTS, Attributes

Name = Annotated[str, Meta(max_length=256)]
Id = Annotated[str, Meta(max_length=64)]
Key = Annotated[str, Meta(max_length=64)]
Metadata = Annotated[dict[Key, Annotated[str, Meta(max_length=512)]], Meta(max_length=16)]
GivenAttributes = Annotated[dict[Key, Annotated[str, Meta(max_length=512)] | float | bool], Meta(max_length=16)]
MAX_FILES = 500  # added in one request


class StaticChunking(Struct, frozen=True):
    max_chunk_size_tokens: Annotated[int, Meta(ge=100, le=4096)]
    chunk_overlap_tokens: Annotated[int, Meta(ge=0, le=2048)]


class Chunking(Struct, frozen=True):
    """`auto`: 200 tokens with 40 in common, which the embedding models here read whole."""

    type: Literal["auto", "static"] = "auto"
    static: StaticChunking | None = None


class VectorStoreRequest(Struct, frozen=True, kw_only=True):
    name: Name | None = None
    file_ids: Annotated[list[Id], Meta(max_length=MAX_FILES)] | None = None
    chunking_strategy: Chunking | None = None
    metadata: Metadata | None = None
    expires_after: dict[str, Any] | None = None  # refused: stores stay until they are deleted


class VectorStoreChange(Struct, frozen=True, kw_only=True):
    name: Name | None = None
    metadata: Metadata | None = None
    expires_after: dict[str, Any] | None = None


class StoreFileRequest(Struct, frozen=True, kw_only=True):
    file_id: Id
    attributes: GivenAttributes | None = None
    chunking_strategy: Chunking | None = None


class StoreFileChange(Struct, frozen=True):
    attributes: GivenAttributes | None


class FileBatchRequest(Struct, frozen=True, kw_only=True):
    """Either `file_ids`, with the rest for all of them, or `files`."""

    file_ids: Annotated[list[Id], Meta(min_length=1, max_length=MAX_FILES)] | None = None
    files: Annotated[list[StoreFileRequest], Meta(min_length=1, max_length=MAX_FILES)] | None = None
    attributes: GivenAttributes | None = None
    chunking_strategy: Chunking | None = None


class RankingOptions(Struct, frozen=True):
    ranker: str | None = None
    score_threshold: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None


Query = Annotated[str, Meta(min_length=1, max_length=4096)]


class SearchRequest(Struct, frozen=True, kw_only=True):
    query: Query | Annotated[list[Query], Meta(min_length=1, max_length=16)]
    max_num_results: Annotated[int, Meta(ge=1, le=MAX_RESULTS)] | None = None  # 10
    filters: dict[str, Any] | None = None
    ranking_options: RankingOptions | None = None
    rewrite_query: bool | None = None  # never done here


class FileCounts(Struct, frozen=True, kw_only=True):
    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class VectorStore(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    last_active_at: int
    name: str
    status: Literal["in_progress", "completed"]
    usage_bytes: int
    file_counts: FileCounts
    metadata: dict[str, str]


class VectorStoreDeleted(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["vector_store.deleted"] = "vector_store.deleted"
    deleted: Literal[True] = True


class LastError(Struct, frozen=True):
    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class UsedChunking(Struct, frozen=True, kw_only=True):
    type: Literal["static"] = "static"
    static: StaticChunking


class VectorStoreFile(Struct, frozen=True, kw_only=True):
    id: str  # the file's
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "failed", "cancelled"]
    last_error: LastError | None
    usage_bytes: int
    attributes: Attributes
    chunking_strategy: UsedChunking
    filename: str  # ours, as is the next
    digest: str


class VectorStoreFileDeleted(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"
    deleted: Literal[True] = True


class FileBatch(Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "cancelled"]
    file_counts: FileCounts


class Text(Struct, frozen=True):
    text: str
    type: Literal["text"] = "text"


class SearchResult(Struct, frozen=True, kw_only=True):
    """From `vector_store_id` on it is ours: where the passage stands, to cite it."""

    file_id: str
    filename: str
    score: float
    attributes: Attributes
    content: list[Text]
    vector_store_id: str
    headings: tuple[str, ...]
    page: int | None  # from 1, of a PDF
    start: int  # characters of the file's text
    end: int


class SearchResults(Struct, frozen=True, kw_only=True):
    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[SearchResult]
    has_more: Literal[False] = False
    next_page: None = None


class FileText(Struct, frozen=True, kw_only=True):
    """The chunks of a file in order, with what neighbours have in common in both."""

    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[Text]
    has_more: Literal[False] = False
    next_page: None = None
