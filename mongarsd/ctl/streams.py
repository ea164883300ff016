"""Server-sent events, sans-I/O: lines in, the data of each event out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def sse(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Comments (the server's pings) and other fields are skipped; an event without its blank line is incomplete."""
    data: list[bytes] = []
    for line in lines:
        line = line.rstrip(b"\r\n")
        if not line and data:
            yield b"\n".join(data)
            data = []
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
