"""Streamed answers, sans-I/O: bytes in; whole lines, and the data of server-sent events, out."""

from __future__ import annotations

from collections.abc import Iterator

from mongarsd.client.errors import NotUnderstood

MAX_LINE = 8 << 20  # bytes of one line, and of one event


class Lines:
    """Bytes in pieces of any size; whole lines without their ends out."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises NotUnderstood when a line is longer than MAX_LINE."""
        *whole, rest = data.split(b"\n")
        for line in whole:
            self._hold(line)
            yield b"".join(self._held).removesuffix(b"\r")
            self._held, self._size = [], 0
        if rest:
            self._hold(rest)

    def _hold(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > MAX_LINE:
            raise NotUnderstood(f"a line of the answer has more than {MAX_LINE} bytes: does mongarsd answer there?")
        self._held.append(part)


class ServerSent:
    """Lines in, the data of each event out. Comments (the daemon's pings) and other fields are skipped."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises NotUnderstood. An event without its blank line is incomplete."""
        for line in self._lines.feed(data):
            if not line and self._data:
                yield b"\n".join(self._data)
                self._data, self._size = [], 0
            elif line.startswith(b"data:"):
                self._size += len(line)
                if self._size > MAX_LINE:
                    raise NotUnderstood(f"an event of the answer has more than {MAX_LINE} bytes")
                self._data.append(line[5:].removeprefix(b" "))
