"""A question before what changes much."""

from __future__ import annotations

import sys

import typer

from mongarsd.ctl.exits import Exit, Failure


def agree(question: str, *, refused: str) -> None:
    """Raises Failure, which says `refused`, unless a person says yes."""
    if not person():
        raise Failure("this needs --yes, because there is nobody to ask", Exit.USAGE)
    if not typer.confirm(question, err=True):
        raise Failure(refused)


def person() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
