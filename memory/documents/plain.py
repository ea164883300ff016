"""Bytes to characters, and plain text."""

from __future__ import annotations

import codecs

from mongarsd.memory.documents.structure import Document, Unreadable

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def decode(data: bytes, declared: str = "") -> str:
    """By its byte order mark, else `declared`, else UTF-8, else Windows' Latin. Lines end in \\n. Raises Unreadable."""
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    if not marked and b"\0" in data:
        raise Unreadable("it holds binary data, not text", supported=False)
    for encoding in filter(None, (marked, declared, "utf-8")):
        try:
            text = data.decode(encoding)
            break
        except (UnicodeError, LookupError):  # LookupError: the page names an encoding that does not exist
            continue
    else:
        text = data.decode("cp1252", "replace")
    # A NUL ends a text for SQLite's C functions, and half a surrogate pair cannot be stored at all.
    text = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text(data: bytes) -> Document:
    return Document(decode(data))
