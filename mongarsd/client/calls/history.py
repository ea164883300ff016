"""Conversations: what was said, searched, exported, deleted, rated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from mongarsd.client.call import Call, Page, Paged, given, path
from mongarsd.client.calls.chats import Message
from mongarsd.client.calls.responses import Item

_ROOT = "/v1/conversations"
Form = Literal["json", "markdown"]
Rating = Literal["up", "down", "none"]


class Hit(Struct, frozen=True, kw_only=True):
    """`snippet`: the words that were found stand between "[" and "]"."""

    item_id: str
    role: str
    created_at: int
    snippet: str
    score: float


class Conversation(Struct, frozen=True, kw_only=True):
    id: str
    title: str = ""
    created_at: int = 0  # seconds since the epoch
    updated_at: int = 0
    turns: int = 0
    bytes: int = 0
    metadata: dict[str, str] = {}
    hits: tuple[Hit, ...] = ()  # of a search, best first


class Feedback(Struct, frozen=True, kw_only=True):
    id: str
    conversation: str
    rating: Rating
    correction: str


def create_conversation(
    items: Iterable[Message] = (), *, title: str | None = None, metadata: Mapping[str, str] | None = None
) -> Call[Conversation]:
    """Begin a conversation, with what was said already if there is something."""
    said = msgspec.to_builtins(list(items)) or None
    return Call("POST", _ROOT, Conversation, given({"title": title, "metadata": metadata, "items": said}))


def conversations(*, q: str | None = None, limit: int = 100) -> Paged[Conversation]:
    """All conversations, the one used last first; with `q` those in which all its words were said, at most `limit`."""
    return Paged(lambda after: Call("GET", path(_ROOT, q=q, limit=limit, after=after or None), Page[Conversation]))


def conversation(name: str) -> Call[Conversation]:
    """One conversation, without what was said."""
    return Call("GET", path(_ROOT, name), Conversation)


def delete_conversation(name: str) -> Call[None]:
    """Delete it and all in it, for good."""
    return Call("DELETE", path(_ROOT, name), type(None))


def items(conversation: str, *, limit: int = 100) -> Paged[Item]:
    """What was said, oldest first."""
    base = path(_ROOT, conversation) + "/items"
    return Paged(lambda after: Call("GET", path(base, order="asc", limit=limit, after=after or None), Page[Item]))


def export(conversation: str | None = None, *, form: Form = "json") -> Call[None]:
    """One conversation, or all, as JSON lines or to read."""
    root = path(_ROOT, conversation) if conversation else _ROOT
    return Call("GET", path(root + "/export", format=form), type(None))


def feedback(name: str, rating: Rating, correction: str = "") -> Call[Feedback]:
    """Rate a stored answer, by the id of its response or item; "none" takes it back."""
    return Call("POST", "/v1/feedback", Feedback, {"id": name, "rating": rating, "correction": correction})
