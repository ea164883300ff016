"""Exit codes, and the one exception that ends a command with one of them."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    OK = 0
    FAILURE = 1  # it was tried and did not work; `doctor` found a fault
    USAGE = 2  # the command line is wrong
    UNREACHABLE = 3  # no daemon answers
    NOT_FOUND = 4  # no such model, or the server is too old to know the request
    REFUSED = 5  # key missing or wrong, or not permitted
    BUSY = 6  # the same command may work later
    INTERRUPTED = 130  # Ctrl-C


class Failure(Exception):
    """Ends the command. `message` is a sentence or two: what happened, and what to do.

    `reason` is the daemon's error code, if it was the daemon that refused.
    """

    def __init__(self, message: str, code: Exit = Exit.FAILURE, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
