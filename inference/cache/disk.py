"""The disk tier: a file a block, `ROOT/SPACE/POSITION-KEY-PARENT`, so that a listing tells all the ledger needs.

SPACE is the seed of the keys (model, library build, layout). All spaces share one budget: what belongs to a removed
model or an older build ages out. Several workers may use the same root, so a file may vanish at any time; it is a miss
then. Files are written beside and renamed, and not synced: after a power cut a bad file fails its checksum.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mongarsd.inference.cache.ledger import Ledger
from mongarsd.inference.cache.writes import DailyWrites

MAGIC = b"mongarsp"
VERSION = 1
#: magic, version, key, parent, position, bytes of the block, BLAKE2b of all that and the block
_HEADER = struct.Struct("<8sI16s16sIQ")
_CHECKSUM = 16
OVERHEAD = _HEADER.size + _CHECKSUM
_SECTOR = 4096  # what a file takes at least
_NAME = re.compile(r"([0-9a-f]{8})-([0-9a-f]{32})-([0-9a-f]{32})")
_SPACE = re.compile(r"[0-9a-f]{32}")
#: Seconds between two marks of use on a file: each is a write of its own to the card.
MARK = 3600.0

#: Seconds after which a file with another name is a write that never ended.
STALE = 600.0


class Found(NamedTuple):
    path: Path
    key: bytes
    parent: bytes
    position: int
    size: int
    used: float


class Disk:
    """Used by one thread, but for `in`. `clock` gives seconds since the epoch, as files carry them."""

    def __init__(
        self, root: Path, space: bytes, *, budget: int, writes: DailyWrites, clock: Callable[[], float]
    ) -> None:
        self._root, self._space = root, root / space.hex()
        self._clock, self._writes = clock, writes
        self._ledger = Ledger(budget)
        self._paths: dict[bytes, Path] = {}
        self._marked: dict[bytes, float] = {}
        self.evictions = 0
        self.written = 0  # bytes

    @property
    def used(self) -> int:
        """Bytes."""
        return self._ledger.used

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, key: bytes) -> bool:
        return key in self._paths

    def open(self) -> None:
        """Look at what is there. Foreign files, orphans and what exceeds the budget are removed."""
        budget, self._ledger.budget = self._ledger.budget, 1 << 62
        now = self._clock()
        for found in sorted(scan(self._root), key=lambda found: found.position):
            used = min(found.used, now)  # what is dated ahead, by a clock that was wrong, would be kept for years
            taken, _ = self._ledger.add(
                found.key, found.parent, size=_taken(found.size), position=found.position, now=used
            )
            if taken and found.size > OVERHEAD:
                self._paths[found.key] = found.path
                self._marked[found.key] = used
            else:
                self._forget(self._ledger.remove(found.key))
                _unlink(found.path)
        self._drop(self._ledger.shrink(budget, now))

    def get(self, key: bytes) -> bytes | None:
        """The block; None when it is not there, or not what was written: then it is removed, and what follows it."""
        if (path := self._paths.get(key)) is None:
            return None
        block = _read(path, key, self._ledger.parent(key), self._ledger.position(key))
        if block is None:
            self.remove(key)
            return None
        now = self._clock()
        self._ledger.touch(key, now)
        if now - self._marked.get(key, 0.0) > MARK:
            self._marked[key] = now
            with contextlib.suppress(OSError):
                os.utime(path, (now, now))
        return block

    @property
    def allowed(self) -> bool:
        """May anything be written today?"""
        return self._writes.left(self._clock()) > 0

    def put(self, key: bytes, parent: bytes, position: int, block: bytes) -> bool:
        """False when it has no place: budget, the day's writes, a missing predecessor, or a disk that refuses."""
        if key in self._paths:
            return True
        size = OVERHEAD + len(block)
        if self._writes.left(self._clock()) < size:
            return False
        taken, gone = self._ledger.add(key, parent, size=_taken(size), position=position, now=self._clock())
        self.evictions += len(gone)
        self._drop(gone)
        if not taken:
            return False
        path = self._space / f"{position:08x}-{key.hex()}-{parent.hex()}"
        try:
            self._space.mkdir(mode=0o700, parents=True, exist_ok=True)  # whoever clears takes it away
            _write(path, _HEADER.pack(MAGIC, VERSION, key, parent, position, len(block)), block)
            self._writes.add(size, self._clock())
        except OSError:
            self._drop(self._ledger.remove(key))
            _unlink(path)
            return False
        self._paths[key] = path
        self._marked[key] = self._clock()
        self.written += size
        return True

    def remove(self, key: bytes) -> None:
        self._drop(self._ledger.remove(key))

    def clear(self) -> None:
        for key in list(self._ledger):
            self.remove(key)
        clear(self._root)

    def _drop(self, keys: list[bytes]) -> None:
        for path in self._forget(keys):
            _unlink(path)

    def _forget(self, keys: list[bytes]) -> list[Path]:
        paths = []
        for key in keys:
            self._marked.pop(key, None)
            if path := self._paths.pop(key, None):
                paths.append(path)
        return paths


def scan(root: Path) -> Iterator[Found]:
    """Every block's file under the root. What is nothing of ours is removed from the spaces, never from elsewhere."""
    for space in _folders(root):
        entries = []
        with contextlib.suppress(OSError), os.scandir(space) as listing:
            entries = list(listing)
        for entry in entries:
            with contextlib.suppress(OSError):
                facts = entry.stat(follow_symlinks=False)
                match = _NAME.fullmatch(entry.name)
                if match is None or not entry.is_file(follow_symlinks=False):
                    if time.time() - facts.st_mtime > STALE:
                        _unlink(Path(entry.path))
                    continue
                position, key, parent = int(match[1], 16), bytes.fromhex(match[2]), bytes.fromhex(match[3])
                yield Found(Path(entry.path), key, parent, position, facts.st_size, facts.st_mtime)
        if not entries:
            with contextlib.suppress(OSError):
                space.rmdir()


def clear(root: Path) -> int:
    """Remove every block of every space; the bytes that are free now. The count of the day's writes stays."""
    freed = 0
    for found in scan(root):
        _unlink(found.path)
        freed += found.size
    for space in _folders(root):
        with contextlib.suppress(OSError):
            space.rmdir()
    return freed


def _folders(root: Path) -> list[Path]:
    try:
        return [
            path for path in root.iterdir() if _SPACE.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
        ]
    except OSError:
        return []


def _taken(size: int) -> int:
    return -(-size // _SECTOR) * _SECTOR


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _write(path: Path, header: bytes, block: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(file, "wb", buffering=0) as out:  # noqa: PTH123 - the descriptor has its mode already
            for piece in (header, _checksum(header, block), block):
                if out.write(piece) != len(piece):
                    raise OSError("the disk is full")
        beside.rename(path)
    except OSError:
        _unlink(beside)
        raise


def _read(path: Path, key: bytes, parent: bytes, position: int) -> bytes | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    with open(file, "rb", buffering=0) as source:  # noqa: PTH123
        try:
            header, checksum, block = source.read(_HEADER.size), source.read(_CHECKSUM), source.read()
        except OSError:
            return None
    if header != _HEADER.pack(MAGIC, VERSION, key, parent, position, len(block)):
        return None
    return block if _checksum(header, block) == checksum else None


def _checksum(header: bytes, block: bytes) -> bytes:
    digest = hashlib.blake2b(header, digest_size=_CHECKSUM)
    digest.update(block)
    return digest.digest()
