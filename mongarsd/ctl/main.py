"""`mongarsctl`, the program. What takes time to import is imported when Ctrl-C is in our hands already."""

from __future__ import annotations

import errno
import os
import sys

from mongarsd.ctl import interrupts

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main() -> None:
    """Raises SystemExit; the exit codes are in the help."""
    try:
        interrupts.begin()
        try:
            _run()
        finally:
            interrupts.end()
    except KeyboardInterrupt:  # before there was a command, or after
        sys.exit(interrupts.INTERRUPTED)


def _run() -> None:
    from io import TextIOWrapper

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # `mongarsctl status >&-`: nobody wants to read
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that is not UTF-8 gets "?", not a traceback
            stream.reconfigure(errors="replace")
    try:
        from mongarsd.ctl.commands import app

        app(prog_name="mongarsctl")
    except OSError as error:  # of a command that flushes
        _unwritten(error)
    finally:
        try:
            sys.stdout.flush()
        except OSError as error:
            _unwritten(error)


def _unwritten(error: OSError) -> None:
    """`mongarsctl status | head -1`: nobody wants the rest. `> FILE` on a full disk: that is to be told."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno in _FULL:
        from mongarsd.ctl.exits import Exit

        print(f"mongarsctl: the output cannot be written: {error.strerror}", file=sys.stderr)
        sys.exit(Exit.FAILURE)
    if error.errno != errno.EPIPE:
        raise error
