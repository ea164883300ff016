"""Files, stores, and what a search finds in them."""

from __future__ import annotations

import secrets
from typing import Literal

from msgspec import Struct

Status = Literal["in_progress", "completed", "failed", "cancelled"]
#: OpenAI's words for what went wrong with a file.
Fault = Literal["server_error", "unsupported_file", "invalid_file"]
Value = str | float | bool
Attributes = dict[str, Value]

#: Longest page of a list of stores or of their files; OpenAI's.
MAX_PAGE = 100
#: Most that a search gives; OpenAI's.
MAX_RESULTS = 50


class File(Struct, frozen=True, kw_only=True):
    id: str
    filename: str
    purpose: str
    bytes: int
    digest: str  # "sha256:…"
    created: float  # seconds since the epoch


class Counts(Struct, frozen=True, kw_only=True):
    """Files of a store or a batch."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled


class Store(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    metadata: dict[str, str]
    created: float
    used: float
    bytes: int  # of its chunks
    counts: Counts


class Cut(Struct, frozen=True):
    """How a file is cut: tokens of a chunk, and of two neighbours in common."""

    most: int = 200  # all-MiniLM-L6-v2 reads 256, and the headings come before the text
    overlap: int = 40


class Entry(Struct, frozen=True, kw_only=True):
    """A file in a store."""

    file: str
    store: str
    filename: str
    digest: str
    attributes: Attributes
    cut: Cut
    created: float
    status: Status
    code: Fault | None
    message: str | None
    bytes: int  # of its chunks


class NewEntry(Struct, frozen=True, kw_only=True):
    file: str
    attributes: Attributes = {}
    cut: Cut = Cut()


class Batch(Struct, frozen=True, kw_only=True):
    id: str
    store: str
    created: float
    counts: Counts


class Passage(Struct, frozen=True, kw_only=True):
    """A chunk that was found, and where it stands: `start` and `end` count characters of the file's text."""

    file: str
    filename: str
    store: str
    attributes: Attributes
    text: str
    headings: tuple[str, ...]
    start: int
    end: int
    page: int | None
    score: float  # 0 to 1; 1 = first by words and by meaning


def new_id(kind: Literal["file-", "vs_", "vsfb_"]) -> str:
    """As hard to guess as OpenAI's."""
    return f"{kind}{secrets.token_hex(12)}"
