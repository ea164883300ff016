"""Which memories stand where in the conversations that clients send again and again.

A client sends a conversation's history as it wrote it, without the memories that earlier answers were given. Put back
where they were, the prompt begins as the last one did and comes from the prefix cache; left out, everything after the
first of them would be computed again. So the node remembers where it put them: by a hash of the messages up to there,
and ids instead of texts, so that what is deleted or changed since is gone here too.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from mongarsd.ground.job import Message

#: Places that are remembered, each about 500 bytes. The longest unused is forgotten; that costs one prefill.
MOST = 4096

_encode = msgspec.msgpack.Encoder().encode


class Placed(NamedTuple):
    """A memory in a prompt, and how many characters of it."""

    id: str
    length: int


class Entry(NamedTuple):
    placed: tuple[Placed, ...]
    note: str = ""  # what the node itself had to say, without any text of a memory


class Carried:
    """Places in conversations, by account."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self.hits = self.misses = self.evictions = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, place: bytes) -> Entry | None:
        entry = self._entries.get(place)
        if entry is None:
            self.misses += 1
        else:
            self.hits += 1
            self._entries.move_to_end(place)
        return entry

    def put(self, place: bytes, entry: Entry) -> None:
        """An entry without content takes no room."""
        self._entries.pop(place, None)
        if not entry.placed and not entry.note:
            return
        self._entries[place] = entry
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)
            self.evictions += 1


def places(account: str, messages: Sequence[Message]) -> Iterator[tuple[int, bytes]]:
    """(index, name) of each user message: the name depends on all messages up to it, and on whose they are."""
    digest = hashlib.blake2b(account.encode() + b"\0", digest_size=16)
    for index, message in enumerate(messages):
        digest.update(_encode(message))
        if message.role == "user":
            yield index, digest.digest()
