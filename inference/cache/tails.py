"""What a sequence holds behind its last whole block: less than a block, for the next turn of its conversation.

In RAM only: on a disk it would be written anew every turn. It is found by its tokens below the block it follows, as far
as they are those of the new prompt; whoever restores it cuts the rest.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from mongarsd.inference.cache.keys import SIZE
from mongarsd.inference.cache.ram import Ram

#: Fewer tokens are computed again faster than a tail is looked after.
LEAST = 8
#: Tails behind the same block, the oldest goes: a conversation's turns, and those that branch off there.
MOST = 4


class Tail(NamedTuple):
    """`length`: tokens of it that the prompt has too."""

    length: int
    cells: bytes


def key(parent: bytes, tokens: Sequence[int]) -> bytes:
    digest = hashlib.blake2b(parent + b"tail", digest_size=SIZE)
    digest.update(array("i", tokens).tobytes())
    return digest.digest()


class Tails:
    """By the key of the block before. Their bytes lie in the RAM tier and leave by its rules."""

    def __init__(self, ram: Ram) -> None:
        self._ram = ram
        self._tokens: dict[bytes, dict[bytes, tuple[int, ...]]] = {}  # by parent, then by key, the oldest first

    def __contains__(self, wanted: tuple[bytes, Sequence[int]]) -> bool:
        """(parent, tokens)"""
        return key(*wanted) in self._ram

    def keep(self, parent: bytes, position: int, tokens: Sequence[int], cells: bytes, now: float) -> None:
        """`position`: where it begins. Not kept when it is too short, or the block before is not in RAM."""
        name = key(parent, tokens)
        if len(tokens) < LEAST or not self._ram.put(name, parent, position, cells, now):
            return
        known = self._alive(parent)
        known.pop(name, None)
        known[name] = tuple(tokens)
        for oldest in list(known)[:-MOST]:
            del known[oldest]
            self._ram.remove(oldest)
        self._tokens[parent] = known
        if len(self._tokens) > 2 * len(self._ram):  # what left with its blocks
            self._tokens = {parent: alive for parent in self._tokens if (alive := self._alive(parent))}

    def find(self, parent: bytes, tokens: Sequence[int], now: float) -> Tail | None:
        """The one that shares the most with `tokens`, at least LEAST."""
        best, found = LEAST - 1, None
        for name, its in self._alive(parent).items():
            shared = next((n for n, (a, b) in enumerate(zip(its, tokens, strict=False)) if a != b), None)
            length = min(len(its), len(tokens)) if shared is None else shared
            if length > best:
                best, found = length, name
        cells = self._ram.get(found, now) if found else None
        return Tail(best, cells) if cells else None

    def clear(self) -> None:
        self._tokens.clear()

    def _alive(self, parent: bytes) -> dict[bytes, tuple[int, ...]]:
        return {name: tokens for name, tokens in self._tokens.get(parent, {}).items() if name in self._ram}
