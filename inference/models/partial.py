"""A file that is being received: hashed as it grows, resumable, and never a half model anywhere else."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from mongarsd.ground.errors import SourceUnavailable, VerificationFailed
from mongarsd.ground.status import PullProgress
from mongarsd.inference.models.disk import Disk
from mongarsd.inference.models.sources.base import MAX_FILE, Sink
from mongarsd.inference.models.threads import PIECE, in_thread

REPORT = 0.2  # seconds between two progress lines

Report = Callable[[PullProgress], None]


class Partial(Sink):
    """Implements Sink. Open it with `async with`; the file stays when it is closed."""

    def __init__(self, path: Path, scratch: Path, disk: Disk, report: Report) -> None:
        self.path = path
        self.scratch = scratch
        self.size: int | None = None  # announced
        self.received = 0  # bytes, on disk or in the buffer
        self._disk = disk
        self._report = report
        self._buffer = bytearray()
        self._hash = hashlib.sha256()
        self._file = -1
        self._reported = 0.0

    async def __aenter__(self) -> Partial:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self.path, flags, 0o600)
        try:
            while data := await in_thread(os.read, self._file, PIECE):
                await in_thread(self._hash.update, data)
                self.received += len(data)
                self.note("checking what is already here", self.received)
        except BaseException:
            os.close(self._file)
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if isinstance(error, (SourceUnavailable, asyncio.CancelledError)):
                await self.flush()  # for the next try
        finally:
            os.close(self._file)

    async def begin(self, size: int | None) -> int:
        if size is not None and not 0 < size <= MAX_FILE:
            raise VerificationFailed(f"The source announces a file of {size} bytes; that cannot be a model.")
        if size is not None and self.received > size:
            await self.restart()
        self.size = size
        self._disk.require((size or 0) - self.received, self.path.parent)
        return self.received

    async def restart(self) -> None:
        self._buffer.clear()
        self._hash = hashlib.sha256()
        self.received = 0
        await in_thread(os.ftruncate, self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)

    async def write(self, data: bytes) -> None:
        self.received += len(data)
        if self.received > (MAX_FILE if self.size is None else self.size):
            raise VerificationFailed(f"The source sent more than the {self.size} bytes it announced.")
        self._buffer += data
        if len(self._buffer) >= PIECE:
            await self.flush()
        self.note("downloading", self.received, self.size)

    async def flush(self) -> None:
        """Hand the buffer to the system."""
        data = bytes(self._buffer)
        self._buffer.clear()

        def put() -> None:
            with self._disk.full_is_an_error(self.path.parent):
                self._disk.write_all(self._file, data)
            self._hash.update(data)

        await in_thread(put)

    async def finish(self) -> str:
        """Everything is on the disk itself; the digest of it."""
        await self.flush()
        await in_thread(os.fsync, self._file)
        return self.digest

    @property
    def digest(self) -> str:
        """Of what has been handed to the system so far."""
        return "sha256:" + self._hash.hexdigest()

    def note(self, status: str, completed: int | None = None, total: int | None = None) -> None:
        now = asyncio.get_running_loop().time()
        if completed is not None and completed != total and now - self._reported < REPORT:
            return
        self._reported = now
        self._report(PullProgress(status=status, completed=completed, total=total))
