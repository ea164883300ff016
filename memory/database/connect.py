"""How a connection is opened. The pragmas here are the durability: measured reasons in docs/memory.md."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from mongarsd.ground.errors import DatabaseDamaged, StorageFull, StorageUnavailable

#: "MONG", in the file's header: what tells our file from any other SQLite file.
APPLICATION_ID = 0x4D4F4E47

#: Seconds to wait for a lock that somebody else holds, such as a `sqlite3` shell on the same file.
BUSY = 5.0
#: Pages of the log before the writer moves them into the file (SQLite's own default, 4 MB): rare syncs, bounded log.
CHECKPOINT = 1000
#: KiB of pages that a reader keeps, of SQLite's own 2,000: the system's page cache has them too.
READER_CACHE = 512
#: Bytes the log may keep on disk after a checkpoint.
LOG = 8 * 1024 * 1024

#: Opens `path` with these URI parameters; tests pass one that can lose power.
Connect = Callable[[Path, str], sqlite3.Connection]


def connect(path: Path, query: str) -> sqlite3.Connection:
    """In autocommit mode: transactions are begun and ended by hand. Used by one thread at a time."""
    return sqlite3.connect(
        f"file:{quote(str(path))}?{query}", uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False
    )


def open_writer(path: Path, connect: Connect = connect) -> sqlite3.Connection:
    """The only connection that writes and checkpoints: SQLite 3.7.0 to 3.51.2 has a race between two that do.

    synchronous=FULL: of 250 power cuts WAL+NORMAL lost acknowledged rows in 206, WAL+FULL none.
    """
    connection = connect(path, "mode=rwc")
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT}")
        connection.execute(f"PRAGMA journal_size_limit={LOG}")
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path, connect: Connect = connect) -> sqlite3.Connection:
    """Can write nothing and never checkpoints, not even as the last to close."""
    connection = connect(path, "mode=ro")
    try:
        connection.execute("PRAGMA query_only=ON")
        connection.execute(f"PRAGMA cache_size=-{READER_CACHE}")
        connection.execute("PRAGMA wal_autocheckpoint=0")
    except BaseException:
        connection.close()
        raise
    return connection


def translate(error: sqlite3.Error | OSError, path: Path) -> StorageUnavailable | None:
    """What the user can do about it; None = no fault of the medium but a mistake of ours. Never carries a value."""
    if isinstance(error, OSError):
        code = sqlite3.SQLITE_FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else sqlite3.SQLITE_IOERR
    else:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code not in _WORDS:
        return None
    kind, words = _WORDS[code]
    return kind(words.format(path=path, directory=path.parent))


_WORDS: dict[int, tuple[type[StorageUnavailable], str]] = {
    sqlite3.SQLITE_FULL: (StorageFull, "the disk of {directory} is full: free some space, then this works again"),
    sqlite3.SQLITE_CORRUPT: (
        DatabaseDamaged,
        "{path} is damaged: restart mongarsd, which puts the file aside and restores the newest backup",
    ),
    sqlite3.SQLITE_NOTADB: (DatabaseDamaged, "{path} is not a SQLite database: restart mongarsd, which puts it aside"),
    sqlite3.SQLITE_READONLY: (StorageUnavailable, "{path} is read-only: give it and its directory to mongarsd's user"),
    sqlite3.SQLITE_PERM: (StorageUnavailable, "{path} may not be opened: give it to mongarsd's user"),
    sqlite3.SQLITE_CANTOPEN: (StorageUnavailable, "{path} cannot be opened: give it to mongarsd's user"),
    sqlite3.SQLITE_BUSY: (StorageUnavailable, "{path} is locked by another program: close that one"),
    sqlite3.SQLITE_LOCKED: (StorageUnavailable, "{path} is locked: try again"),
    sqlite3.SQLITE_IOERR: (StorageUnavailable, "the disk of {path} failed to read or write: see the kernel's log"),
    sqlite3.SQLITE_NOMEM: (StorageUnavailable, "too little memory for {path}: unload a model"),
}
