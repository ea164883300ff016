"""One answer, shown as it comes."""

from __future__ import annotations

from typing import TextIO

from mongarsd.client.calls.chats import Said
from mongarsd.ctl.terminal import clean_text, colours


class Printer:
    """Writes an answer as it comes. Reasoning is dimmed for a person, and left out where there is none."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._person = stream.isatty()
        self._colours = colours(stream)
        self._thinking = False
        self._at_line_start = True

    def write(self, piece: Said) -> None:
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
