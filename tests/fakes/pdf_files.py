"""PDFs written by hand: pages of text, and bombs."""

from __future__ import annotations

import zlib
from collections.abc import Sequence


def build_pdf(pages: Sequence[str], *, catalogue: str = "") -> bytes:
    """Each page shows its text in Helvetica, one line a line."""
    return assemble([_content(page) for page in pages], catalogue=catalogue)


def bomb_pdf(size: int = 1 << 30, rounds: int = 2) -> bytes:
    """A few KB that inflate to `size` bytes of content."""
    data = _spaces(size)
    for _ in range(rounds - 1):
        data = zlib.compress(data, 9)
    filters = " ".join(["/FlateDecode"] * rounds)
    return assemble([(f"/Filter [{filters}]", data)])


def endless_pdf(pages: int = 4000, lines: int = 400) -> bytes:
    """Every page shows the same content: a small file, and hours of work."""
    return assemble([_content("\n".join(["word"] * lines))], repeat=pages)


def _spaces(size: int) -> bytes:
    """So many, a multiple of a MiB, as zlib packs them, without packing them: a block that ends in a full flush may be
    said again, and the checksum of equal bytes is a formula (RFC 1950)."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    low = 1 + size * ord(" ")
    high = size + size * (size + 1) // 2 * ord(" ")
    checksum = (high % 65521 << 16) + low % 65521
    return b"\x78\xda" + block * (size >> 20) + packer.flush() + checksum.to_bytes(4, "big")


def _content(text: str) -> tuple[str, bytes]:
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    lines = "".join(f"({line}) Tj T*\n" for line in escaped.split("\n"))
    return "", f"BT /F1 12 Tf 14 TL 72 720 Td\n{lines}ET".encode("latin-1")


def assemble(contents: Sequence[tuple[str, bytes]], *, repeat: int = 1, catalogue: str = "") -> bytes:
    """`contents`: the dictionary's entries and the data of each page's stream."""
    first = 4  # objects 1 to 3: catalogue, pages, font
    count = len(contents) * repeat
    kids = " ".join(f"{first + len(contents) + number} 0 R" for number in range(count))
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {catalogue} >>".encode(),
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for entries, data in contents:
        objects.append(f"<< {entries} /Length {len(data)} >>\nstream\n".encode() + data + b"\nendstream")
    objects += [
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
        f" /Contents {first + number % len(contents)} 0 R >>".encode()
        for number in range(count)
    ]
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(out)
