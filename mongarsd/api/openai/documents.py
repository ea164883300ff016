"""The routes of files and vector stores."""

from __future__ import annotations

from mongarsd.api.openai import files, vector_stores
from mongarsd.api.openai import vector_store_types as types
from mongarsd.api.openai.files import FileDeleted, FileObject, Listed
from mongarsd.api.openapi import Route

_STORE = "/v1/vector_stores/{store}"
_FILE = _STORE + "/files/{file}"
_BATCH = _STORE + "/file_batches/{batch}"

DOCUMENTS = (
    Route("POST", "/v1/files", files.create_file, "Upload a file (multipart: purpose, file)", answer=FileObject),
    Route("GET", "/v1/files", files.list_files, "The account's files", answer=Listed[FileObject]),
    Route("GET", "/v1/files/{file}", files.get_file, "One file", answer=FileObject),
    Route("DELETE", "/v1/files/{file}", files.delete_file, "Delete a file everywhere", answer=FileDeleted),
    Route(
        "GET", "/v1/files/{file}/content", files.get_file_content, "What was uploaded",
        streams={"application/octet-stream": None},
    ),
    Route(
        "POST", "/v1/vector_stores", vector_stores.create_vector_store, "Make a store of files to search in",
        types.VectorStoreRequest, types.VectorStore,
    ),
    Route(
        "GET", "/v1/vector_stores", vector_stores.list_vector_stores, "The account's stores",
        answer=Listed[types.VectorStore],
    ),
    Route("GET", _STORE, vector_stores.get_vector_store, "One store", answer=types.VectorStore),
    Route(
        "POST", _STORE, vector_stores.change_vector_store, "Rename a store",
        types.VectorStoreChange, types.VectorStore,
    ),
    Route(
        "DELETE", _STORE, vector_stores.delete_vector_store, "Delete a store; its files stay",
        answer=types.VectorStoreDeleted,
    ),
    Route(
        "POST", _STORE + "/search", vector_stores.search_vector_store, "Passages that answer a question",
        types.SearchRequest, types.SearchResults,
    ),
    Route(
        "POST", _STORE + "/files", vector_stores.add_vector_store_file, "Make a file searchable",
        types.StoreFileRequest, types.VectorStoreFile,
    ),
    Route(
        "GET", _STORE + "/files", vector_stores.list_vector_store_files, "The files of a store",
        answer=Listed[types.VectorStoreFile],
    ),
    Route("GET", _FILE, vector_stores.get_vector_store_file, "One of them", answer=types.VectorStoreFile),
    Route(
        "POST", _FILE, vector_stores.change_vector_store_file, "Change a file's attributes",
        types.StoreFileChange, types.VectorStoreFile,
    ),
    Route(
        "DELETE", _FILE, vector_stores.remove_vector_store_file, "Take a file out of a store",
        answer=types.VectorStoreFileDeleted,
    ),
    Route(
        "GET", _FILE + "/content", vector_stores.get_vector_store_file_content, "The text that was read from a file",
        answer=types.FileText,
    ),
    Route(
        "POST", _STORE + "/file_batches", vector_stores.create_file_batch, "Make several files searchable",
        types.FileBatchRequest, types.FileBatch,
    ),
    Route("GET", _BATCH, vector_stores.get_file_batch, "How far they are", answer=types.FileBatch),
    Route("POST", _BATCH + "/cancel", vector_stores.cancel_file_batch, "Leave out the rest", answer=types.FileBatch),
    Route(
        "GET", _BATCH + "/files", vector_stores.list_file_batch_files, "The files of a batch",
        answer=Listed[types.VectorStoreFile],
    ),
)  # fmt: skip
