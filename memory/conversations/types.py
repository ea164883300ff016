"""What is kept of a conversation, and how it is named."""

from __future__ import annotations

import secrets
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

from mongarsd.ground.job import TokenLogprob

T = TypeVar("T")

Role = Literal["system", "developer", "user", "assistant", "tool"]

#: Longest page that is handed out.
MAX_PAGE = 100


class Searched(Struct, frozen=True, omit_defaults=True):
    """A search in documents that the model was given the results of, before the words it answers."""

    queries: tuple[str, ...]
    results: tuple[dict[str, Any], ...]  # file_id, filename, score, attributes, text


class Details(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What only some turns have. Kept as JSON; fields of a newer version are ignored."""

    finish_reason: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0  # of the prompt's
    completion_tokens: int = 0
    timings: dict[str, float] = {}  # milliseconds, by name
    reasoning: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()
    tool_call_id: str = ""
    name: str = ""
    searched: Searched | None = None
    logprobs: tuple[TokenLogprob, ...] = ()  # of the text, where they were asked for; finite


class NewTurn(Struct, frozen=True, kw_only=True):
    id: str = ""  # "" = made when it is stored
    role: Role
    content: str
    node: str = ""  # who ran it
    model: str = ""
    details: Details = Details()


class Turn(NewTurn, frozen=True, kw_only=True):
    number: int  # grows within a conversation; other tables refer to it
    conversation: str
    created: float  # seconds since the epoch
    feedback: Literal[-1, 0, 1] = 0
    comment: str = ""


class Conversation(Struct, frozen=True, kw_only=True):
    id: str
    title: str
    created: float
    updated: float
    turns: int
    bytes: int
    metadata: dict[str, str]


class Hit(Struct, frozen=True, kw_only=True):
    """A turn that a search found, best first."""

    turn: str
    conversation: str
    title: str
    role: str
    created: float
    snippet: str  # words found stand between "[" and "]"
    score: float  # higher is better; BM25


class Page(Struct, Generic[T], frozen=True):
    """`after` is handed back to get the next page; "" = this was the last."""

    items: list[T]
    after: str


def new_id(kind: Literal["conv", "msg", "resp"]) -> str:
    """As long as OpenAI's, and as hard to guess."""
    return f"{kind}_{secrets.token_hex(24)}"
