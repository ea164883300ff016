"""Keeps control tokens out of what clients send: the text "<|im_end|>" inside a message is text, not the end of it.

The template's own tags must become control tokens, so its output is tokenized with them; llama-server leaves it at
that, and any message can end its turn and begin another. Here, such text is marked before the template is rendered,
and what is marked is tokenized as plain text. A prompt without any (nearly all are) is tokenized in one piece, exactly
as by llama-server.
"""

from __future__ import annotations

import re
import secrets
from typing import Any


class Guard:
    """For one prompt: `mark` what goes into the template, `split` what comes out."""

    def __init__(self, control: re.Pattern[str] | None) -> None:
        """`control` matches the text of any control token."""
        self._control = control
        self._nonce = secrets.token_hex(8)  # nobody can write the marks, and JSON, HTML or trimming do not change them
        self.found = False

    def mark(self, value: Any) -> Any:
        """`value` (strings, lists, dicts, …) with every control token's text marked; sets `found`."""
        if isinstance(value, str):
            if self._control is None or not self._control.search(value):
                return value
            self.found = True
            return self._control.sub(lambda match: f"{self._nonce}({match[0]}){self._nonce}", value)
        if isinstance(value, dict):
            return {self.mark(key): self.mark(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.mark(item) for item in value]
        return value

    def split(self, text: str) -> list[tuple[str, bool]]:
        """The rendered text without marks, in pieces: (piece, may contain control tokens)."""
        if not self.found:
            return [(text, True)]
        # A template may have cut a marked text in two: then all up to the next mark is plain, and half a mark goes.
        parts = re.split(rf"{self._nonce}\((.*?)(?:\){self._nonce}|$)", text, flags=re.DOTALL)
        rest = re.compile(rf"{self._nonce}\(|\)?{self._nonce}")
        return [(rest.sub("", part), index % 2 == 0) for index, part in enumerate(parts) if part]
