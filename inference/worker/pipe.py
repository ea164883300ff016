"""The worker's end of the socketpair."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from mongarsd.ground.frames import Decoder, Encoder
from mongarsd.inference.worker.protocol import FromWorker, ToWorker


class Pipe:
    """Blocking frames on a socket; read by one thread, written by one thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._encoder = Encoder()
        self._decoder: Decoder[ToWorker] = Decoder(ToWorker)

    def send(self, message: FromWorker) -> None:
        self._sock.sendall(self._encoder.frame(message))

    def receive(self) -> Iterator[ToWorker]:
        """All messages until the daemon closes its end."""
        while data := self._sock.recv(65536):
            yield from self._decoder.feed(data)
