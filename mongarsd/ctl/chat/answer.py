"""One answer: asked for, read piece by piece, shown as it comes."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any, TextIO

import msgspec
from msgspec import Struct

from mongarsd.ctl.client import Client
from mongarsd.ctl.exits import Exit, Failure
from mongarsd.ctl.terminal import clean, clean_text, colours


class Piece(Struct):
    """`delta` of a chat.completion.chunk: OpenAI's field, and the one that reasoning models added."""

    content: str | None = None
    reasoning_content: str | None = None


class Choice(Struct):
    delta: Piece = msgspec.field(default_factory=Piece)
    finish_reason: str | None = None


class Chunk(Struct):
    choices: list[Choice] = []
    error: dict[str, Any] | None = None


def ask(client: Client, request: dict[str, Any]) -> Generator[Choice, None, None]:
    """The pieces of one streamed answer; close the generator to cancel it. Raises Failure."""
    with closing(client.events("/v1/chat/completions", request | {"stream": True})) as events:
        for data in events:
            if data == b"[DONE]":
                return
            try:
                chunk = msgspec.json.decode(data, type=Chunk)
            except msgspec.MsgspecError as error:
                raise Failure(f"the answer has a piece that is not understood: {clean(str(error))}") from error
            if chunk.error:
                reason = str(chunk.error.get("code") or "")
                raise Failure(clean(str(chunk.error.get("message", "The answer failed."))), reason=reason)
            yield from chunk.choices
    raise Failure("the connection broke in the middle of the answer", Exit.UNREACHABLE)


class Printer:
    """Writes an answer as it comes. Reasoning is dimmed for a person, and left out where there is none."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._person = stream.isatty()
        self._colours = colours(stream)
        self._thinking = False
        self._at_line_start = True

    def write(self, piece: Piece) -> None:
        if piece.reasoning_content and self._person:
            if not self._thinking:
                self._put("\x1b[2m" if self._colours else "Thinking: ", raw=True)
                self._thinking = True
            self._put(piece.reasoning_content)
        if piece.content:
            self._end_thinking()
            self._put(piece.content)
        self._stream.flush()

    def end(self) -> None:
        """Leave the cursor at the beginning of a line, in the ordinary colour."""
        self._end_thinking()
        if not self._at_line_start:
            self._put("\n")
        self._stream.flush()

    def _end_thinking(self) -> None:
        if self._thinking:
            self._thinking = False
            self._put("\x1b[0m\n" if self._colours else "\nAnswer: ", raw=True)

    def _put(self, text: str, raw: bool = False) -> None:
        text = clean_text(text) if self._person and not raw else text
        self._stream.write(text)
        if text:
            self._at_line_start = text.endswith("\n")
