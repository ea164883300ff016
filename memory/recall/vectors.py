"""Texts to vectors in the background: one that the model cannot take holds up no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mongarsd.ground.errors import MongarsError
from mongarsd.ground.job import Priority
from mongarsd.memory.recall import codec
from mongarsd.memory.recall.codec import Coded
from mongarsd.memory.recall.types import Embed


async def vectors(
    embed: Embed,
    texts: Sequence[str],
    *,
    later: tuple[type[MongarsError], ...],
    refused: Callable[[MongarsError], None],
) -> list[bytes | None]:
    """None for a text that the model cannot take: `refused` is told why, and may raise.

    Raises those `later` errors in which the machine is in the way, not the text.
    """
    try:
        return list(await embed(list(texts), priority=Priority.BATCH))
    except later:
        raise
    except MongarsError as error:
        if len(texts) == 1:
            refused(error)
            return [None]
    return [vector for text in texts for vector in await vectors(embed, [text], later=later, refused=refused)]


def encoded(found: Sequence[bytes | None]) -> list[Coded | None]:
    """Takes a while: not for the event loop."""
    return [codec.encode(vector) if vector is not None else None for vector in found]
