"""One request is made of another: complaints about it name the fields that the client sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mongarsd.ground.errors import BadRequest


@contextmanager
def renamed(rename: Callable[[str], str]) -> Iterator[None]:
    """`rename` is given the message, which begins with the field, and the field."""
    try:
        yield
    except BadRequest as error:
        raise type(error)(rename(error.message), param=error.param and rename(error.param), **error.detail) from None


def by(names: Sequence[tuple[re.Pattern[str], str]]) -> Callable[[str], str]:
    """For `renamed`: what each pattern finds is written as it was sent, one after the other."""

    def rename(text: str) -> str:
        for name, sent in names:
            text = name.sub(sent, text)
        return text

    return rename
