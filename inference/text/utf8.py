"""Incremental UTF-8: a token may end in the middle of a character."""

from __future__ import annotations

from codecs import utf_8_decode


def decode(pending: bytes, piece: bytes, *, final: bool = False) -> tuple[str, bytes]:
    """The characters that `pending + piece` completes, and the 0–3 bytes of a character still open.

    The texts of consecutive calls join to `whole.decode("utf-8", "replace")`, however the bytes were split:
    what can no longer become a character turns into U+FFFD at once. `final` leaves nothing open.
    """
    data = pending + piece if pending else piece
    text, used = utf_8_decode(data, "replace", final)
    return text, data[used:]
