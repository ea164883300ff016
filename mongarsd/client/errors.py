"""What a call may raise: the daemon's own classes, chosen by its error code, and those that only a client needs.

All are MongarsErrors: `message` says what happened and what to do, `param` names the field, `detail` has the numbers.
"""

from __future__ import annotations

from mongarsd.ground.errors import (
    BadRequest,
    Busy,
    Conflict,
    ContextOverflow,
    Forbidden,
    Loading,
    ModelNotFound,
    MongarsError,
    NotFound,
    RateLimited,
    StorageFull,
    StorageUnavailable,
    TooLarge,
    Unauthorized,
)

__all__ = [
    "BadAddress",
    "BadRequest",
    "BrokenOff",
    "Busy",
    "Conflict",
    "ContextOverflow",
    "Forbidden",
    "Loading",
    "ModelNotFound",
    "MongarsError",
    "NotFound",
    "NotUnderstood",
    "RateLimited",
    "StorageFull",
    "StorageUnavailable",
    "TooLarge",
    "Unauthorized",
    "Unreachable",
]


class Unreachable(MongarsError):
    """Nothing answers, or the connection broke: look whether mongarsd runs there."""

    code = "unreachable"


class BrokenOff(Unreachable):
    """The connection ended in the middle of an answer: what came of it is all there is."""

    code = "broken_off"


class BadAddress(MongarsError):
    """The URL, socket or key cannot be one: correct it."""

    code = "bad_address"


class NotUnderstood(MongarsError):
    """The answer is not mongarsd's, or of another version of it."""

    code = "not_understood"
