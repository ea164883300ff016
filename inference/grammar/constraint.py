"""A grammar that binds a job's answer, from its first token or from where certain texts have come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Constraint(NamedTuple):
    """`after`: texts that come first, in this order, such as "</think>"; () = the grammar binds the first token."""

    grammar: str  # GBNF, checked
    after: tuple[str, ...] = ()
    marks: frozenset[int] = frozenset()  # control tokens that stand for their names


class Watch:
    """Looks for a constraint's `after` in the bytes of an answer."""

    def __init__(self, after: Iterable[str]) -> None:
        self._wanted = [text.encode() for text in after]
        self._seen = b""

    @property
    def waiting(self) -> bool:
        return bool(self._wanted)

    def feed(self, piece: bytes) -> bytes | None:
        """What follows the last text in `piece`, when that comes; None before, and after."""
        if not self._wanted:
            return None
        self._seen += piece
        while self._wanted:
            wanted = self._wanted[0]
            before, found, rest = self._seen.partition(wanted)
            if not found:
                self._seen = before[-len(wanted) :]
                return None
            self._wanted.pop(0)
            self._seen = rest
        return self._seen
