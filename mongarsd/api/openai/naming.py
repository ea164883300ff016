"""One request is made of another: complaints about it name the fields that the client sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mongarsd.ground.errors import BadRequest


@contextmanager
def renamed(rename: Callable[[str], str]) -> Iterator[None]:
    """`rename` is given the message, which begins with the field, and the field."""
    try:
        yield
    except BadRequest as error:
        raise type(error)(rename(error.message), param=error.param and rename(error.param), **error.detail) from None
