"""Which reader a file needs, by its first bytes and then by its name."""

from __future__ import annotations

from mongarsd.memory.documents.html import read_html
from mongarsd.memory.documents.markdown import read_markdown
from mongarsd.memory.documents.pdf import read_pdf
from mongarsd.memory.documents.plain import read_text
from mongarsd.memory.documents.structure import Reader, Unreadable

#: Formats that are often tried and cannot be read, by how they begin.
_FOREIGN = (
    (b"PK\x03\x04", "it is a ZIP archive or an Office document: save it as PDF, HTML or text"),
    (b"\xd0\xcf\x11\xe0", "it is an old Office document: save it as PDF, HTML or text"),
    (b"{\\rtf", "it is RTF: save it as PDF, HTML or text"),
    (b"\x1f\x8b", "it is compressed: unpack it"),
    (b"\x89PNG", "it is a picture"),
    (b"\xff\xd8\xff", "it is a picture"),
    (b"GIF8", "it is a picture"),
)
_BY_ENDING: dict[str, Reader] = {
    "md": read_markdown,
    "markdown": read_markdown,
    "html": read_html,
    "htm": read_html,
    "xhtml": read_html,
}


def reader_for(filename: str, head: bytes) -> Reader:
    """`head`: the file's first KiB. Raises Unreadable for what is known to be no text."""
    if b"%PDF-" in head:  # Acrobat takes it anywhere in the first KiB, and so do those who write PDFs
        return read_pdf
    for begin, why in _FOREIGN:
        if head.startswith(begin):
            raise Unreadable(why, supported=False)
    start = head.lstrip()[:15].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return read_html
    return _BY_ENDING.get(filename.rpartition(".")[2].lower(), read_text)
