"""Why a socket is closed: what its client is told, and what the metrics call it."""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    word: str
    code: int
    text: str = ""


GOING = Reason("shutdown", 1001, "the node goes down")
SLOW = Reason("slow", 4000, "too slow: come back and resume")
REPLACED = Reason("replaced", 4001, "another socket reads this session")
REVOKED = Reason("revoked", 4003, "the key is no longer valid")
FLOOD = Reason("flood", 4029, "too many messages")
#: Those that others decide on.
CLIENT, LOST, TOO_LARGE = Reason("client", 1000), Reason("lost", 1006), Reason("too_large", 1009)
