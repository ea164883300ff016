"""A client that is one too many: told so, and heard out. A connection that is closed while its client still sends is
reset, and most clients tell of that instead of the answer: http.client writes a header and a body, and fails at the
second."""

from __future__ import annotations

import asyncio
import contextlib

from mongarsd.api import errors
from mongarsd.ground.errors import Busy

#: Seconds for the rest of what it sends, which is thrown away.
LINGER = 2.0
#: Those of one listener that are heard out at once; more are closed, for each holds a file descriptor.
MOST = 32


class Refused(asyncio.Protocol):
    def __init__(self, transport: asyncio.Transport, others: set[Refused]) -> None:
        """`others`: those of its listener that are heard out; it is one of them until it is closed."""
        self._transport, self._others = transport, others
        transport.write(_answer())
        if len(others) >= MOST:
            transport.close()
            return
        others.add(self)
        self._end = asyncio.get_running_loop().call_later(LINGER, self.close)
        with contextlib.suppress(OSError):  # it has gone already, as the loop is about to notice
            transport.write_eof()

    def close(self) -> None:
        self._transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        if self in self._others:
            self._others.remove(self)
            self._end.cancel()


def _answer() -> bytes:
    what = "too many connections; close some, or raise server.max_connections_per_client or server.max_connections"
    answer = errors.answer(Busy(what, retry_after=5.0))
    head = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    return (
        f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n{head}"
        f"Content-Length: {len(answer.body)}\r\n\r\n"
    ).encode() + answer.body
