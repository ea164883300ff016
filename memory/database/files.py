"""The database as files: was it closed well, may it be written, and how a damaged one is put aside."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from mongarsd.ground.errors import StorageUnavailable

#: What SQLite keeps beside the file while it is open.
BESIDE = ("-wal", "-shm")
#: Beside the file while a daemon has it open; left over = it was not closed.
MARKER = ".open"
#: Then the date: a file that was put aside, because it was damaged or because a backup was restored.
ASIDE = ".damaged-"
REPLACED = ".replaced-"

MAGIC = b"SQLite format 3\x00"


def identity(path: Path) -> tuple[int, int] | None:
    """Which file this is, whatever its name; None = there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def unclean(path: Path) -> str:
    """Why the file must be checked before it is used, or ""."""
    if not path.exists():
        return ""
    if _beside(path, MARKER).exists():
        return "its marker is still there"
    if (log := _beside(path, "-wal")).exists() and log.stat().st_size:
        return "its log is still there"
    return _torn(path)


def _torn(path: Path) -> str:
    """Costs one read: a file that lost its head or its tail."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(100)
    if not head:
        return "it has no bytes"
    if len(head) < 100 or not head.startswith(MAGIC):
        return "it does not begin as a database"
    page = int.from_bytes(head[16:18], "big")
    page = 65536 if page == 1 else page
    pages = int.from_bytes(head[28:32], "big")
    return "its end is missing" if size < page * pages else ""


def emptied(path: Path) -> bool:
    """To SQLite such a file is a new database. (With a log it is one: the first start was cut short.)"""
    log = _beside(path, "-wal")
    return not path.stat().st_size and not (log.exists() and log.stat().st_size)


def refuse_unwritable(path: Path) -> None:
    """Raises StorageUnavailable. SQLite would open such a file, and fail at the first write."""
    if path.exists() and not os.access(path, os.W_OK):
        raise StorageUnavailable(f"{path} is read-only: give it to mongarsd's user")
    if not os.access(path.parent, os.W_OK):
        raise StorageUnavailable(f"{path.parent} is read-only: give it to mongarsd's user")


def mark(path: Path) -> None:
    _beside(path, MARKER).touch(mode=0o600)


def unmark(path: Path) -> None:
    _beside(path, MARKER).unlink(missing_ok=True)


def put_aside(path: Path, now: float, why: str = ASIDE) -> Path:
    """Rename the file and what is beside it; nothing is lost. Returns its new name."""
    stamp = time.strftime("%Y-%m-%d-%H%M%S", time.gmtime(now))
    aside = free_name(path.with_name(f"{path.name}{why}{stamp}"))
    for suffix in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            _beside(path, suffix).rename(_beside(aside, suffix))
    path.rename(aside)
    unmark(path)
    return aside


def free_name(path: Path) -> Path:
    """`path`, or it with a number that no file has yet."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in range(2, 1000))
    return path if not path.exists() else next(one for one in numbered if not one.exists())


def put_away(path: Path) -> tuple[Path, ...]:
    """The damaged files that wait for their owner, oldest first."""
    found = path.parent.glob(f"{path.name}{ASIDE}*")
    return tuple(sorted(one for one in found if not one.name.endswith(BESIDE)))


def sync(path: Path) -> None:
    """A file's bytes, or a directory's names, are on disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
