"""A disk under SQLite that can lose power: a VFS that writes down every write, cut and sync, and what a cut may leave.

It is registered in the very libsqlite3 that Python's `sqlite3` uses, so the code under test is the real one.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import random
import sqlite3
from collections.abc import Iterator
from ctypes.util import find_library
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

SECTOR = 512
NAME = b"recording"

_P, _I, _L = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
_OPEN = ctypes.CFUNCTYPE(_I, _P, _P, _P, _I, _P)
_DELETE = ctypes.CFUNCTYPE(_I, _P, ctypes.c_char_p, _I)
_WRITE = ctypes.CFUNCTYPE(_I, _P, _P, _I, _L)
_TRUNCATE = ctypes.CFUNCTYPE(_I, _P, _L)
_SYNC = ctypes.CFUNCTYPE(_I, _P, _I)
_CLOSE = ctypes.CFUNCTYPE(_I, _P)


class _Methods(ctypes.Structure):
    """sqlite3_io_methods, as far as it is needed; version 3 ends with xUnfetch."""

    _fields_ = [
        ("version", _I), ("close", _CLOSE), ("read", _P), ("write", _WRITE), ("truncate", _TRUNCATE), ("sync", _SYNC),
        *((f"rest{i}", _P) for i in range(13)),
    ]  # fmt: skip


class _Vfs(ctypes.Structure):
    """sqlite3_vfs, version 3."""

    _fields_ = [
        ("version", _I), ("file_size", _I), ("max_path", _I), ("next", _P), ("name", ctypes.c_char_p), ("data", _P),
        ("open", _OPEN), ("delete", _DELETE), *((f"rest{i}", _P) for i in range(14)),
    ]  # fmt: skip


class Write(NamedTuple):
    file: str
    offset: int
    data: bytes


class Truncate(NamedTuple):
    file: str
    size: int


class Sync(NamedTuple):
    file: str


class Delete(NamedTuple):
    file: str


class Mark(NamedTuple):
    """Put in by the test: this was acknowledged."""

    value: Any


Step = Write | Truncate | Sync | Delete | Mark


class Recorder:
    """`steps` grows while connections of `connect` write. One at a time in a process."""

    def __init__(self) -> None:
        library = ctypes.CDLL(find_library("sqlite3") or _sqlite3.__file__)
        library.sqlite3_libversion.restype = ctypes.c_char_p
        if library.sqlite3_libversion().decode() != sqlite3.sqlite_version:
            raise OSError("this Python has a SQLite of its own inside")
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
        real = library.sqlite3_vfs_find(None).contents
        self.steps: list[Step] = []
        self._names: dict[int, str] = {}
        self._real = real
        self._methods: dict[int, _Methods] = {}  # by the address of the originals
        self._of: dict[int, _Methods] = {}  # the originals, by file
        self._library = library
        self._vfs = _Vfs.from_buffer_copy(real)
        self._vfs.name = NAME
        self._callbacks = _OPEN(self._open), _DELETE(self._delete)
        self._vfs.open, self._vfs.delete = self._callbacks
        self._hooks = _WRITE(self._write), _TRUNCATE(self._truncate), _SYNC(self._sync)
        library.sqlite3_vfs_register.argtypes = [_P, _I]
        library.sqlite3_vfs_register(ctypes.addressof(self._vfs), 0)

    def close(self) -> None:
        self._library.sqlite3_vfs_unregister.argtypes = [_P]
        self._library.sqlite3_vfs_unregister(ctypes.addressof(self._vfs))

    def connect(self, path: Path, query: str) -> sqlite3.Connection:
        address = f"file:{quote(str(path))}?{query}&vfs={NAME.decode()}"
        return sqlite3.connect(address, uri=True, timeout=5.0, isolation_level=None, check_same_thread=False)

    def _open(self, vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        done: int = self._real.open(ctypes.addressof(self._real), name, file, flags, out)
        slot = ctypes.cast(file, ctypes.POINTER(_P))
        if done == 0 and name and slot[0]:
            address = slot[0]
            original = _Methods.from_address(address)
            if address not in self._methods:
                ours = _Methods.from_buffer_copy(original)
                ours.write, ours.truncate, ours.sync = self._hooks
                self._methods[address] = ours
            self._of[file] = original
            self._names[file] = Path(ctypes.string_at(name).decode()).name
            slot[0] = ctypes.addressof(self._methods[address])
        return done

    def _write(self, file: int, data: int, size: int, offset: int) -> int:
        self.steps.append(Write(self._names[file], offset, ctypes.string_at(data, size)))
        return self._of[file].write(file, data, size, offset)  # type: ignore[no-any-return]

    def _truncate(self, file: int, size: int) -> int:
        self.steps.append(Truncate(self._names[file], size))
        return self._of[file].truncate(file, size)  # type: ignore[no-any-return]

    def _sync(self, file: int, flags: int) -> int:
        done: int = self._of[file].sync(file, flags)
        self.steps.append(Sync(self._names[file]))
        return done

    def _delete(self, vfs: int, name: bytes, directory: int) -> int:
        self.steps.append(Delete(Path(name.decode()).name))
        return self._real.delete(ctypes.addressof(self._real), name, directory)  # type: ignore[no-any-return]


def after_cut(steps: list[Step], cut: int, chance: random.Random) -> tuple[dict[str, bytes], list[Any]]:
    """The files that a power cut before step `cut` may leave, and what was acknowledged by then.

    What was synced is there. Of the writes since, each sector is there or not, in any order; a truncation may have
    happened or not.
    """
    files: dict[str, bytearray] = {}
    waiting: dict[str, list[Write | Truncate]] = {}
    marks = []
    for step in steps[:cut]:
        if isinstance(step, Mark):
            marks.append(step.value)
        elif isinstance(step, Sync):
            for one in waiting.pop(step.file, []):
                _apply(files, one)
        elif isinstance(step, Delete):
            waiting.pop(step.file, None)
            files.pop(step.file, None)
        else:
            waiting.setdefault(step.file, []).append(step)
    mode = chance.random()  # nearly nothing, anything, or nearly everything arrived
    for pending in waiting.values():
        sectors = [sector for one in pending for sector in _sectors(one)]
        kept = [sector for sector in sectors if chance.random() < mode]
        if chance.random() < 0.5:
            chance.shuffle(kept)
        for sector in kept:
            _apply(files, sector)
    return {name: bytes(data) for name, data in files.items()}, marks


def _sectors(step: Write | Truncate) -> Iterator[Write | Truncate]:
    if isinstance(step, Truncate):
        yield step
        return
    start, end = step.offset, step.offset + len(step.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        yield Write(step.file, start, step.data[start - step.offset : stop - step.offset])
        start = stop


def _apply(files: dict[str, bytearray], step: Write | Truncate) -> None:
    file = files.setdefault(step.file, bytearray())
    if isinstance(step, Truncate):
        del file[step.size :]
        return
    if len(file) < step.offset:
        file.extend(bytes(step.offset - len(file)))
    file[step.offset : step.offset + len(step.data)] = step.data
