"""Tool calls as Ollama says them: whole, their arguments an object. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mongarsd.api.ollama.answers import OllamaCall, OllamaCalled
from mongarsd.ground.job import ToolCall


class Calls:
    """Pieces in, whole calls out. `broken` is the text of a call that ended before its arguments did."""

    def __init__(self) -> None:
        self._open: list[ToolCall] = []  # the pieces of one
        self.broken = ""

    def add(self, pieces: Iterable[ToolCall]) -> list[OllamaCall]:
        ready: list[OllamaCall] = []
        for piece in pieces:
            if piece.name:
                ready += self.end()
            self._open.append(piece)
        return ready

    def end(self) -> list[OllamaCall]:
        """The one that was being written, if any."""
        if not self._open:
            return []
        first, text = self._open[0], "".join(piece.arguments for piece in self._open)
        self._open = []
        try:
            arguments = msgspec.json.decode(text or "{}", type=dict)
        except (msgspec.MsgspecError, RecursionError):
            self.broken += first.name + text
            return []
        return [OllamaCall(id=first.id, function=OllamaCalled(index=first.index, name=first.name, arguments=arguments))]
