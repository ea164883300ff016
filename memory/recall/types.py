"""What a memory is, and what a search found."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from mongarsd.ground.errors import ModelNotFound
from mongarsd.ground.job import Priority

Source = Literal["fact", "turn", "document"]

#: Characters of a memory: a page. An embedder reads the first 1,000 or so; words are found in all of it.
MAX_TEXT = 8192
#: Longest page of a list, and most that a search gives.
MAX_PAGE = 100


class Memory(Struct, frozen=True, kw_only=True):
    id: str
    text: str
    source: Source
    created: float  # seconds since the epoch
    updated: float
    conversation: str | None = None  # where it was said
    embedded: bool = False  # found by its meaning too, not by its words alone


class Hit(Struct, frozen=True, kw_only=True):
    """`similarity` and `words` say why it was found."""

    memory: Memory
    score: float  # 0 to 1; 1 = first by words and by meaning, and of this moment
    similarity: float | None  # cosine with the question; None = not compared
    words: float  # how many of the question's words it has, 0 to 1

    @property
    def relevance(self) -> float:
        return max(self.similarity or 0.0, self.words)


class Found(Struct, frozen=True, kw_only=True):
    hits: tuple[Hit, ...]
    mode: Literal["hybrid", "words"]
    why: str = ""  # of "words"


class Page(Struct, frozen=True, kw_only=True):
    items: tuple[Memory, ...]  # newest first
    after: str = ""  # handed back to get the next page; "" = this was the last


class Progress(Struct, frozen=True, kw_only=True):
    """Of giving every memory a vector of the present embedding model."""

    model: str = ""  # digest; "" = none is installed
    waiting: int = 0
    loaded: int = 0  # vectors whose signs are in RAM
    bytes: int = 0  # that they take
    trouble: str = ""  # why it does not go on


class Embed(Protocol):
    """Texts to vectors of little-endian float32 and of length 1. Raises MongarsError."""

    def __call__(self, texts: Sequence[str], *, priority: Priority = ...) -> Awaitable[list[bytes]]: ...


#: The digest of the embedding model; "" = none is installed. Asked each time, so that a reload counts.
Model = Callable[[], str]


def no_model() -> str:
    return ""


async def no_vectors(texts: Sequence[str], *, priority: Priority = Priority.BATCH) -> list[bytes]:  # noqa: ARG001
    raise ModelNotFound("no embedding model is installed")


def new_id() -> str:
    return f"mem_{secrets.token_hex(12)}"
