"""What a client can make grow, and where it ends: connections, and bodies on their way in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from mongarsd.ground.errors import Busy

#: Bodies of this many times `max_body` may be on their way in at once. Without it 256 slow uploads of 8 MB hold 2 GB.
BODIES_AT_ONCE = 4


class Connections:
    """Counts the connections of one listener, in all and for each address."""

    def __init__(self) -> None:
        self.total = 0
        self._of: Counter[str] = Counter()

    def enter(self, address: str, *, most: int, most_each: int) -> bool:
        """Count one more, unless that is too many. An empty address (a Unix socket) counts in all only."""
        if self.total >= most or (address and self._of[address] >= most_each):
            return False
        self.total += 1
        self._of[address] += 1
        return True

    def leave(self, address: str) -> None:
        self.total -= 1
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]


class Hold:
    """The share of one request in `Bodies`."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.size = 0

    def take(self, size: int, most: int) -> None:
        """Add `size` bytes. Raises Busy when all requests together hold more than `most`."""
        if self._bodies.held + size > most:
            raise Busy("too many large requests are being received at once; try again", retry_after=2.0)
        self._bodies.held += size
        self.size += size


class Bodies:
    """The bytes of request bodies that are in memory and not decoded yet."""

    def __init__(self) -> None:
        self.held = 0

    @contextmanager
    def hold(self) -> Iterator[Hold]:
        hold = Hold(self)
        try:
            yield hold
        finally:
            self.held -= hold.size


BODIES: web.AppKey[Bodies] = web.AppKey("bodies", Bodies)
