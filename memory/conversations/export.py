"""Everything of an account: for programs (JSON, a conversation a line) or for people (Markdown)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Literal

import msgspec
from msgspec import Struct

from mongarsd.memory.conversations.store import Conversations
from mongarsd.memory.conversations.types import MAX_PAGE, Conversation, Turn

Form = Literal["json", "markdown"]


class Exported(Struct, frozen=True):
    """A line of the JSON form."""

    account: str
    conversation: Conversation
    turns: list[Turn]


async def export(store: Conversations, account: str, form: Form) -> AsyncIterator[str]:
    """A piece for each conversation, the one that was used last first; holds one of them in RAM."""
    after = ""
    while True:
        page = await store.list(account, after=after, limit=MAX_PAGE)
        for conversation in page.items:
            yield await _written(store, account, conversation, form)
        after = page.after
        if not after:
            return


async def export_one(store: Conversations, account: str, conversation: str, form: Form) -> str:
    """Raises NotFound."""
    return await _written(store, account, await store.get(account, conversation), form)


async def _written(store: Conversations, account: str, conversation: Conversation, form: Form) -> str:
    turns = await _turns(store, account, conversation.id)
    if form == "json":
        return msgspec.json.encode(Exported(account, conversation, turns)).decode() + "\n"
    return markdown(conversation, turns)


_RATED = {0: "", 1: " · 👍", -1: " · 👎"}


def markdown(conversation: Conversation, turns: list[Turn]) -> str:
    """A heading, then each turn under its role and time (UTC), what its user thought of it, and what it should say."""
    lines = [f"# {conversation.title or 'Conversation'} ({_when(conversation.created)})", ""]
    for turn in turns:
        who = f"{turn.role}, {turn.model}" if turn.model else turn.role
        lines += [f"**{who}** · {_when(turn.created)}{_RATED[turn.feedback]}", "", turn.content, ""]
        if turn.comment:
            lines += [*(f"> {line}" for line in turn.comment.splitlines()), ""]
    return "\n".join(lines) + "\n"


async def _turns(store: Conversations, account: str, conversation: str) -> list[Turn]:
    turns: list[Turn] = []
    after = ""
    while True:
        page = await store.turns(account, conversation, after=after, limit=MAX_PAGE)
        turns += page.items
        after = page.after
        if not after:
            return turns


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
