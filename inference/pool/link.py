"""The pipe to a worker: messages in, messages out, no task of its own."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from mongarsd.ground.frames import Decoder, Encoder, FrameError
from mongarsd.inference.worker.protocol import FromWorker, ToWorker

log = logging.getLogger(__name__)


#: Bytes read at once; a step of 8 streams is about 1 kB. A plain Protocol makes asyncio allocate 256 kB for each read.
BUFFER = 64 * 1024
#: Reads after a failed write. The kernel holds 208 kB of a dead worker's words, and they become no more.
REST = 64


class Link(asyncio.BufferedProtocol):
    """Calls `receive` for each message in order, and `lost` once when the other end is gone.

    Runs in the event loop's own callbacks: all events of a step arrive in one call.
    """

    def __init__(self, receive: Callable[[FromWorker], None], lost: Callable[[], None]) -> None:
        self._receive = receive
        self._lost = lost
        self._encode = Encoder().frame
        self._decoder: Decoder[FromWorker] = Decoder(FromWorker)
        self._transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(BUFFER))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for message in self._decoder.feed(self._buffer[:nbytes]):
                self._receive(message)
        except FrameError as error:
            log.error("the worker does not speak the protocol: %s", error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._read_rest()
        self._transport = None
        self._lost()

    def _read_rest(self) -> None:
        """A write to a worker that has died ends the transport, though its last words wait to be read: who ran in it
        must be known."""
        assert self._transport is not None
        number = self._transport.get_extra_info("socket").fileno()
        with suppress(OSError):  # there is no more
            for _ in range(REST):
                if not (read := os.readv(number, [self._buffer])):
                    return
                self.buffer_updated(read)

    @property
    def backlog(self) -> int:
        """Bytes the worker has not read yet, beyond the kernel's buffer."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    def send(self, message: ToWorker) -> None:
        """Hand over without waiting; after the end it does nothing. Raises FrameError when the message is too big."""
        frame = self._encode(message)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
