"""Clients that know their items to be stored here name them instead of sending them again (the AI SDK does so)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import structs

from mongarsd.api.openai.responses.items import items_of, no_item, turn_id
from mongarsd.api.openai.responses.requests import InputItem
from mongarsd.ground.errors import NotFound
from mongarsd.memory.conversations.store import Conversations
from mongarsd.memory.conversations.types import Turn

REFERENCE = "item_reference"


async def resolved(
    store: Conversations, account: str, given: str | Sequence[InputItem] | None
) -> str | Sequence[InputItem] | None:
    """The same with the items themselves in the place of references. Raises NotFound, StorageUnavailable."""
    if isinstance(given, str) or not any(_refers(item) for item in given or ()):
        return given
    turns: dict[str, Turn] = {}  # several items of one turn follow each other
    items = []
    for number, item in enumerate(given or ()):
        if _refers(item):
            try:
                name = turn_id(item.id or "")
                if name not in turns:
                    turns[name] = await store.turn(account, name)
                item = _input(turns[name], item.id or "")
            except NotFound as error:
                error.param = f"input[{number}].id"
                raise
        items.append(item)
    return items


def _refers(item: InputItem) -> bool:
    """OpenAI's clients may leave the type out."""
    return item.type == REFERENCE or (item.type is None and item.role is None and item.id is not None)


def _input(turn: Turn, name: str) -> InputItem:
    """Items that are told are items that may be sent."""
    for item in items_of(turn):
        if item.id == name:
            return structs.replace(msgspec.convert(msgspec.to_builtins(item), InputItem), id=None)
    raise no_item(name)
