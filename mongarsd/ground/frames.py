"""Length-prefixed msgpack frames, for the pipe between daemon and worker. Sans-I/O: bytes in, messages out."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

HEADER = struct.Struct("<I")
#: A 128k-token prompt is about 1 MB as text; nothing that crosses the pipe is near this.
MAX_FRAME = 64 * 1024 * 1024


class FrameError(Exception):
    """The other end sent bytes that are not a frame of ours."""


class Encoder:
    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder().encode

    def frame(self, message: Any) -> bytes:
        body = self._encode(message)
        if len(body) > MAX_FRAME:
            raise FrameError(f"a message of {len(body)} bytes is over the limit of {MAX_FRAME}")
        return HEADER.pack(len(body)) + body


class Decoder(Generic[T]):
    """Feed bytes as they come, in any pieces; iterate over the complete messages."""

    def __init__(self, kind: Any) -> None:
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> Iterator[T]:
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            (size,) = HEADER.unpack_from(self._buffer)
            if size > MAX_FRAME:
                raise FrameError(f"a frame of {size} bytes is over the limit of {MAX_FRAME}")
            end = HEADER.size + size
            if len(self._buffer) < end:
                return
            body = self._buffer[HEADER.size : end]
            del self._buffer[:end]
            try:
                yield self._decode(body)
            except msgspec.MsgspecError as error:
                raise FrameError(f"not a message of this protocol: {error}") from error
