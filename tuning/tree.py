"""Reading small files of /proc, /sys, /etc below a root that tests replace. Nothing here raises: unknown is None."""

from __future__ import annotations

import os
from pathlib import Path

#: 64 cores of x86 cpuinfo are about 100 kB; nothing we read is longer on purpose.
MAX_FILE = 1 << 20
_PIECE = 1 << 14  # most files are a line, and are read every second: no buffer of a megabyte for them


class Tree:
    """Paths are relative to the root, without a leading slash."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def bytes(self, path: str) -> bytes | None:
        """The file's bytes (at most MAX_FILE), or None if it is missing, forbidden or its device is asleep."""
        try:
            file = os.open(f"{self.root}/{path}", os.O_RDONLY)
            try:
                data = b""
                while len(data) < MAX_FILE and (piece := os.read(file, _PIECE)):
                    data += piece
                return data[:MAX_FILE]
            finally:
                os.close(file)
        except (OSError, ValueError):
            return None

    def text(self, path: str) -> str | None:
        """Like `bytes`, as text without surrounding white space and without the device tree's final NUL."""
        data = self.bytes(path)
        return None if data is None else data.decode("utf-8", "replace").strip("\0 \t\r\n")

    def number(self, path: str) -> int | None:
        return parse_number(self.text(path))

    def exists(self, path: str) -> bool:
        try:
            return (self.root / path).exists()
        except OSError:
            return False

    def glob(self, pattern: str) -> list[str]:
        """Matching paths, sorted; empty if the folder cannot be listed."""
        try:
            return sorted(str(path.relative_to(self.root)) for path in self.root.glob(pattern))
        except OSError:
            return []


def parse_number(text: str | None) -> int | None:
    """A decimal integer. `int()` alone would also take "1_0" and other scripts' digits."""
    text = (text or "").strip()
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 20:
        return None
    return int(text)
