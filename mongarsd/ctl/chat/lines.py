"""One message from several lines: a backslash at the end goes on, three double quotes open and close a block."""

from __future__ import annotations

QUOTES = '"""'


class Lines:
    """Feed it each line as typed; it gives the message when that is complete."""

    def __init__(self) -> None:
        self._held: list[str] = []
        self._quoted = False

    @property
    def pending(self) -> bool:
        """Is a message begun?"""
        return bool(self._held) or self._quoted

    def clear(self) -> None:
        self._held, self._quoted = [], False

    def feed(self, line: str) -> str | None:
        if not self.pending and line.lstrip().startswith(QUOTES):
            self._quoted = True
            line = line.lstrip().removeprefix(QUOTES)
            if not line:
                return None
        if self._quoted:
            end = line.rstrip()
            if not end.endswith(QUOTES):
                self._held.append(line)
                return None
            line = end.removesuffix(QUOTES)
            if not line and self._held:  # the closing quotes stood alone: they are no line of the message
                return self._complete()
        elif line.endswith("\\"):
            self._held.append(line[:-1])
            return None
        self._held.append(line)
        return self._complete()

    def _complete(self) -> str:
        message = "\n".join(self._held)
        self.clear()
        return message
