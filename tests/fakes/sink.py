"""A sink in memory."""

from __future__ import annotations

from pathlib import Path

from mongarsd.inference.models.sources.base import Sink


class MemorySink(Sink):
    def __init__(self, scratch: Path, have: bytes = b"") -> None:
        self.scratch = scratch
        self.data = bytearray(have)
        self.size: int | None = None
        self.restarts = 0
        self.notes: list[tuple[str, int | None]] = []

    async def begin(self, size: int | None) -> int:
        self.size = size
        return len(self.data)

    async def restart(self) -> None:
        self.restarts += 1
        self.data.clear()

    async def write(self, data: bytes) -> None:
        self.data += data

    def note(self, status: str, completed: int | None = None, total: int | None = None) -> None:
        self.notes.append((status, completed))
