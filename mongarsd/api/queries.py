"""What may stand behind the `?` of an address: JSON schemas for /openapi.json. The handlers check it themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from mongarsd.memory.conversations.export import Form
from mongarsd.memory.documents.files import MAX_FILES_PAGE, Order
from mongarsd.memory.documents.types import MAX_PAGE, Status

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_SEARCH: Schema = {"type": "string", "maxLength": 4000}
_FORM: Schema = {"enum": list(get_args(Form)), "default": "json"}
_PURPOSE: Schema = {"enum": ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]}
_INCLUDE: Schema = {"type": "array", "items": _TEXT}


def _number(usual: int, most: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": usual}


def _page(usual: int = 20, most: int = MAX_PAGE, order: str = "desc") -> dict[str, Schema]:
    return {
        "limit": _number(usual, most),
        "after": _TEXT,
        "order": {"enum": list(get_args(Order)), "default": order},
    }


_ENTRIES = {**_page(), "before": _TEXT, "filter": {"enum": list(get_args(Status))}}

#: Of each GET route, by its path in aiohttp's notation.
QUERIES: Mapping[str, Mapping[str, Schema]] = {
    "/v1/chat/completions": {
        **_page(order="asc"),
        "model": _TEXT,
        "metadata": {"type": "object", "additionalProperties": _TEXT, "maxProperties": 16},
    },
    "/v1/chat/completions/{completion}/messages": _page(order="asc"),
    "/v1/memory": {"limit": _number(20, MAX_PAGE), "after": _TEXT},
    "/v1/memory/search": {"q": {**_SEARCH, "minLength": 1}, "k": _number(8, MAX_PAGE)},
    "/v1/files": {**_page(MAX_FILES_PAGE, MAX_FILES_PAGE), "purpose": _PURPOSE},
    "/v1/vector_stores": {**_page(), "before": _TEXT},
    "/v1/vector_stores/{store}/files": _ENTRIES,
    "/v1/vector_stores/{store}/file_batches/{batch}/files": _ENTRIES,
    "/v1/responses/{response}": {"include": _INCLUDE, "stream": {"const": False}},
    "/v1/responses/{response}/input_items": _page(),
    "/v1/conversations": {"limit": _number(20, MAX_PAGE), "after": _TEXT, "q": _SEARCH},
    "/v1/conversations/export": {"format": _FORM},
    "/v1/conversations/{conversation}/export": {"format": _FORM},
    "/v1/conversations/{conversation}/items": {**_page(), "include": _INCLUDE},
    "/v1/conversations/{conversation}/items/{item}": {"include": _INCLUDE},
    "/v1/models": {"limit": _number(20, 1000), "after_id": _TEXT, "before_id": _TEXT},  # for Anthropic's clients
    "/v1/ws": {"ticket": _TEXT, "session": _TEXT, "after": {"type": "integer", "minimum": 0, "default": 0}},
    "/admin/audit": {"limit": _number(100, 1000)},
    "/admin/memory/export": {"account": {**_TEXT, "default": "local"}, "form": _FORM},
}
REQUIRED = frozenset({("/v1/memory/search", "q"), ("/v1/ws", "ticket")})
#: Of each route that takes a multipart form.
FORMS: Mapping[str, Schema] = {
    "/v1/files": {
        "type": "object",
        "properties": {"purpose": _PURPOSE, "file": {"type": "string", "format": "binary"}},
        "required": ["purpose", "file"],
    },
}
