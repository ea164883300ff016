"""PDF to text, a page at a time, by pypdf. Only ever called in the child process: PDFs are programs."""

from __future__ import annotations

import io
import logging

from mongarsd.memory.documents.plain import decode
from mongarsd.memory.documents.structure import Document, Unreadable

MAX_PAGES = 5_000


def read_pdf(data: bytes) -> Document:
    from pypdf import PdfReader  # 12 MB and 0.2 s, for PDFs only
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it quotes what it reads
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("it is encrypted: remove its password and upload it again")
        if len(reader.pages) > MAX_PAGES:
            raise Unreadable(f"it has {len(reader.pages)} pages, and {MAX_PAGES} are allowed: split it")
        parts: list[str] = []
        pages: list[int] = []
        size = 0
        for page in reader.pages:
            pages.append(size)
            parts.append(decode(page.extract_text().encode("utf-8", "replace")) + "\n\n")
            size += len(parts[-1])
    except (PyPdfError, ValueError, KeyError, TypeError, IndexError, AttributeError, ArithmeticError) as error:
        # pypdf meets broken files with all of these
        raise Unreadable(f"it is damaged, or no PDF ({type(error).__name__})") from error
    if not "".join(parts).strip():
        raise Unreadable("it has no text, only pictures: run it through OCR first (for example ocrmypdf)")
    return Document("".join(parts), pages=tuple(pages))
