"""Contents of files: one file an id in a directory of the state directory. Other names are work under way.

An upload is `<id>.part` until its row is stored; a removed one is `<id>.gone` before its row goes. So whatever moment
the power fails at, `settle` knows from the rows what each of them is.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from mongarsd.ground.errors import DiskFull, NotFound
from mongarsd.ground.folders import sync_folder

log = logging.getLogger(__name__)

_ID = re.compile(r"file-[0-9a-f]{24}")
PART, GONE = ".part", ".gone"
#: Bytes that stay free: the database needs them more.
RESERVE = 128 * 1024 * 1024


class Blobs:
    """Blocking: call it in a thread."""

    def __init__(self, folder: Path, free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free) -> None:
        self._folder, self._free = folder, free

    def path(self, name: str, suffix: str = "") -> Path:
        """The only place where an id becomes a path. Raises NotFound for what is no id."""
        if not _ID.fullmatch(name):
            raise NotFound(f"there is no file {name[:80]!r}")
        return self._folder / (name + suffix)

    def begin(self, name: str, size: int) -> Upload:
        """`size`: as announced; 0 = unknown. Raises DiskFull."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self.require(size)
        return Upload(self, self.path(name, PART))

    def require(self, size: int) -> None:
        """Raises DiskFull."""
        need, have = size + RESERVE, self._free(self._folder)
        if need > have:
            raise DiskFull(
                f"the disk of {self._folder} has {have / 1e6:.0f} MB free, {need / 1e6:.0f} MB are needed: free some",
                need=need,
                have=have,
            )

    def keep(self, name: str) -> None:
        """Its row is stored."""
        self.path(name, PART).rename(self.path(name))
        sync_folder(self._folder)

    def doom(self, name: str) -> None:
        """Its row is about to go."""
        if (path := self.path(name)).exists():
            path.rename(self.path(name, GONE))
            sync_folder(self._folder)

    def restore(self, name: str) -> None:
        """Its row could not go."""
        if (gone := self.path(name, GONE)).exists():
            gone.rename(self.path(name))

    def erase(self, name: str) -> None:
        """Its row is gone."""
        for suffix in (PART, GONE):
            self.path(name, suffix).unlink(missing_ok=True)

    def unsettled(self) -> set[str]:
        """Ids of uploads and removals that a power cut or a crash left half done."""
        return {path.stem for path in self._folder.glob("file-*.*") if path.suffix in (PART, GONE)}

    def settle(self, name: str, known: bool) -> None:
        """`known`: it has a row. A whole file without a row stays: a restored database may lack what was uploaded."""
        if known:
            for suffix in (PART, GONE):
                if (path := self.path(name, suffix)).exists():
                    path.rename(self.path(name))
        else:
            self.erase(name)


class Upload:
    """`write` pieces, then `finish`; `abort` leaves nothing. Raises DiskFull."""

    def __init__(self, blobs: Blobs, path: Path) -> None:
        self._blobs, self._path = blobs, path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | bytearray) -> None:
        self._blobs.require(len(data))
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DiskFull(f"the disk of {self._path.parent} became full: free some space and try again") from error
        self._hash.update(data)
        self.size += len(data)

    def finish(self) -> str:
        """The digest; the bytes are on the disk."""
        os.fsync(self._file)
        os.close(self._file)
        self._file = -1
        sync_folder(self._path.parent)
        return "sha256:" + self._hash.hexdigest()

    def abort(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._path.unlink(missing_ok=True)
