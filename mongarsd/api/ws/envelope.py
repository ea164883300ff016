"""What stands around an event in its frame. Events come as JSON and are never encoded twice. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from mongarsd.api import errors

#: Bytes that `numbered` puts around an event at most.
AROUND = len('{"seq":,"id":"","event":}') + 64 + 19  # the longest id, and a number of 63 bits

_encode = msgspec.json.Encoder(enc_hook=str).encode


def numbered(seq: int, name: str, event: bytes) -> bytes:
    """`name`: the command's id, "" = none. Ids need no escaping: see commands.py."""
    return b'{"seq":%d,%b"event":%b}' % (seq, _id(name), event)


def unnumbered(event: bytes, name: str = "") -> bytes:
    return b'{%b"event":%b}' % (_id(name), event)


def event(kind: str, **fields: Any) -> bytes:
    return _encode({"type": kind, **fields})


def failure(error: BaseException) -> bytes:
    """The error object of HTTP as an event."""
    return event("error", error=errors.answer(error).error)


def _id(name: str) -> bytes:
    return b'"id":"%b",' % name.encode() if name else b""
