"""Tool calls in an answer's text: the model's format read, each call numbered and named for the client."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from mongarsd.ground.job import ToolCall
from mongarsd.inference.text.tools.base import Parser, Said

MakeParser = Callable[[], Parser]


class Calls:
    """Text of the answer in, text and calls out. Without a parser all is text."""

    def __init__(self, job: str, make: MakeParser | None) -> None:
        self._job = job
        self._parser = make() if make else None
        self._count = 0

    def feed(self, text: str) -> tuple[str, tuple[ToolCall, ...]]:
        return self._number(self._parser.feed(text)) if self._parser else (text, ())

    def finish(self) -> tuple[str, tuple[ToolCall, ...]]:
        return self._number(self._parser.finish()) if self._parser else ("", ())

    def _number(self, said: Said) -> tuple[str, tuple[ToolCall, ...]]:
        calls = []
        for name, arguments in said.calls:
            if not name:
                calls.append(ToolCall(self._count - 1, arguments=arguments))
                continue
            # From job and number alone, so that it is the same whoever carries the job on.
            digest = hashlib.sha256(f"{self._job}/{self._count}".encode()).hexdigest()
            calls.append(ToolCall(self._count, f"call_{digest[:24]}", name, arguments))
            self._count += 1
        return said.content, tuple(calls)
