"""Tickets: a page cannot send a key when it opens a WebSocket, and a key must not stand in an address. Whoever has one
asks for a ticket, which stands there instead: good once, for half a minute, for who asked. Pure."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from mongarsd.api.credentials import Identity
from mongarsd.ground.errors import Busy, RateLimited, Unauthorized

PREFIX = "wst_"
LASTS = 30.0  # seconds
#: Open ones of an account, and in all: 400 bytes each.
MOST_EACH, MOST = 256, 4096
_BYTES = 32


class _Ticket(NamedTuple):
    who: Identity
    until: float  # monotonic seconds


class Tickets:
    """Only hashes are held. `random`: bytes to URL-safe text of so many."""

    def __init__(self, random: Callable[[int], str] = secrets.token_urlsafe) -> None:
        self._random = random
        self._open: dict[bytes, _Ticket] = {}  # the oldest first, which is also the first to end
        self._of: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def issue(self, who: Identity, now: float) -> str:
        """Raises RateLimited, Busy."""
        self.expire(now)
        if self._of[who.account] >= MOST_EACH:
            raise RateLimited(f"this account has {MOST_EACH} tickets that were not used yet", retry_after=LASTS)
        if len(self._open) >= MOST:
            raise Busy(f"there are {MOST} tickets that were not used yet", retry_after=LASTS)
        text = PREFIX + self._random(_BYTES)
        self._open[_hash(text)] = _Ticket(who, now + LASTS)
        self._of[who.account] += 1
        return text

    def redeem(self, text: str, now: float) -> Identity:
        """Who asked for it. Raises Unauthorized, and says no more than that."""
        self.expire(now)
        key = _hash(text)
        if key not in self._open:
            raise Unauthorized("this is no ticket, or it was used, or is older than 30 s: POST /v1/ws/ticket gives one")
        return self._remove(key)

    def expire(self, now: float) -> None:
        while self._open and (key := next(iter(self._open))) and self._open[key].until <= now:
            self._remove(key)

    def _remove(self, key: bytes) -> Identity:
        who = self._open.pop(key).who
        self._of[who.account] -= 1
        if not self._of[who.account]:
            del self._of[who.account]
        return who


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
