"""A file on its way into `POST /v1/files`: a multipart form, read from the disk as it is sent."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

PIECE = 64 * 1024


class FileForm:
    """Its size is taken when made: what a file grows by meanwhile is left out."""

    def __init__(self, path: Path, purpose: str = "assistants") -> None:
        """Raises OSError."""
        self._path = path
        self._size = path.stat().st_size
        boundary = secrets.token_hex(16)
        name = path.name.encode("utf-8", "replace").decode().replace('"', "%22").replace("\r", " ").replace("\n", " ")
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    @property
    def length(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        """Raises OSError, also when the file has become shorter."""
        yield self._head
        left = self._size
        with self._path.open("rb") as file:
            while left:
                piece = file.read(min(PIECE, left))
                if not piece:
                    raise OSError(None, "the file became shorter while it was sent")
                left -= len(piece)
                yield piece
        yield self._tail
