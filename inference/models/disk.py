"""What the store asks of the file system; passed in, so that tests can fill the disk."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mongarsd.ground.errors import DiskFull
from mongarsd.ground.folders import sync_folder

MARGIN = 0.05  # of what is written stays free, for the journal and for everybody else
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Disk:
    def free(self, path: Path) -> int:
        """Bytes an ordinary user may still write."""
        return shutil.disk_usage(path).free

    def write(self, file: int, data: bytes | memoryview) -> int:
        return os.write(file, data)

    def require(self, size: int, path: Path) -> None:
        """Raises DiskFull unless `size` bytes and a margin fit."""
        need, have = int(size * (1 + MARGIN)), self.free(path)
        if need > have:
            raise DiskFull(
                f"The disk of {path} has {have / 1e6:.0f} MB free, {need / 1e6:.0f} MB are needed: free some space.",
                need=need,
                have=have,
            )

    def write_all(self, file: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.write(file, view) :]

    def write_atomic(self, path: Path, data: bytes) -> None:
        """The file is there as a whole or not at all, also after a power cut."""
        draft = path.with_name(path.name + ".tmp")
        try:
            with self.full_is_an_error(path.parent):
                file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                try:
                    self.write_all(file, data)
                    os.fsync(file)
                finally:
                    os.close(file)
                draft.rename(path)
                sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)

    @contextlib.contextmanager
    def full_is_an_error(self, path: Path) -> Iterator[None]:
        """Turn ENOSPC and EDQUOT into DiskFull."""
        try:
            yield
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise DiskFull(
                f"The disk of {path} became full: free some space and try again.", have=self.free(path)
            ) from error
