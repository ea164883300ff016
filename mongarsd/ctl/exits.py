"""Exit codes, and what ends a command with which of them."""

from __future__ import annotations

import enum

from mongarsd.client import errors
from mongarsd.ctl import interrupts


class Exit(enum.IntEnum):
    OK = 0
    FAILURE = 1  # it was tried and did not work; `doctor` found a fault
    USAGE = 2  # the command line is wrong
    UNREACHABLE = 3  # no daemon answers
    NOT_FOUND = 4  # no such model, or the server is too old to know the request
    REFUSED = 5  # key missing or wrong, or not permitted
    BUSY = 6  # the same command may work later
    INTERRUPTED = interrupts.INTERRUPTED  # Ctrl-C


#: What the client raises; a class counts for those below it. Whatever is not here is a FAILURE.
_CODES: dict[type[BaseException], Exit] = {
    errors.BadAddress: Exit.USAGE,
    errors.Unreachable: Exit.UNREACHABLE,
    errors.NotFound: Exit.NOT_FOUND,
    errors.Unauthorized: Exit.REFUSED,
    errors.Forbidden: Exit.REFUSED,
    errors.Busy: Exit.BUSY,
    errors.StorageFull: Exit.FAILURE,
    errors.StorageUnavailable: Exit.BUSY,
}


class Failure(errors.MongarsError):
    """Ends the command. `message` is a sentence or two: what happened, and what to do."""

    def __init__(self, message: str, exit_code: Exit = Exit.FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def exit_code(error: errors.MongarsError) -> Exit:
    if isinstance(error, Failure):
        return error.exit_code
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), Exit.FAILURE)
