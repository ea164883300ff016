"""Copies of the file: made, proven, kept, and taken when the file itself is damaged."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from mongarsd.ground.errors import DatabaseDamaged, DatabaseRefused, StorageFull
from mongarsd.memory.database import files
from mongarsd.memory.database.connect import open_reader
from mongarsd.memory.database.migrate import Migration, refuse_foreign

log = logging.getLogger(__name__)

DIRECTORY = "backups"
KEEP = 3
_TEMPORARY = ".part"


def name(now: float) -> str:
    return time.strftime("mongars-%Y-%m-%d-%H%M%S.db", time.gmtime(now))


def before(version: int) -> str:
    """Of the copy that is made before the schema changes."""
    return f"mongars-schema-{version:04d}.db"


def listed(directory: Path) -> tuple[Path, ...]:
    """The newest first."""
    return tuple(sorted(directory.glob("mongars-*.db"), key=lambda path: path.stat().st_mtime_ns, reverse=True))


def settle_times(directory: Path, now: float) -> None:
    """Copies dated ahead of `now` were made while the clock was wrong. They become just older than now, in their order:
    else they stayed the newest for years, and `prune` would take every later one instead of them."""
    ahead = [path for path in listed(directory) if path.stat().st_mtime > now]
    for place, path in enumerate(ahead, start=1):
        os.utime(path, (now - place, now - place))


def check(connection: sqlite3.Connection, pragma: str) -> None:
    """`quick_check` reads every page, `integrity_check` compares the indexes too. Raises DatabaseDamaged."""
    lines = [row[0] for row in connection.execute(f"PRAGMA {pragma}(3)")]
    if lines != ["ok"]:
        raise DatabaseDamaged(f"{pragma} found: {'; '.join(lines)}")


def make(connection: sqlite3.Connection, target: Path) -> Path:
    """A compact copy of what `connection` sees: proven and on disk under `target` when this returns, or not there at
    all. Outside of a transaction. Raises StorageFull, DatabaseDamaged."""
    target.parent.mkdir(mode=0o700, exist_ok=True)
    pages, page = (connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in ("page_count", "page_size"))
    need, have = pages * page, shutil.disk_usage(target.parent).free
    if have < need:
        raise StorageFull(f"a backup needs {need} bytes, and {target.parent} has {have} free", need=need, have=have)
    part = target.with_name(target.name + _TEMPORARY)
    part.unlink(missing_ok=True)
    try:
        connection.execute("VACUUM INTO ?", (str(part),))
        prove(part)
        files.sync(part)
        part.replace(target)
        files.sync(target.parent)
    finally:
        part.unlink(missing_ok=True)
    return target


def prove(path: Path) -> None:
    """It can be opened and is whole. Raises DatabaseDamaged."""
    try:
        with contextlib.closing(open_reader(path)) as connection:
            check(connection, "integrity_check")
    except sqlite3.DatabaseError as error:
        raise DatabaseDamaged(f"{path} is damaged: {error}") from error


def take_over(path: Path, migrations: Sequence[Migration]) -> Path | None:
    """Put the newest good backup where `path` was; None = there is none, and the database begins empty."""
    for backup in listed(path.parent / DIRECTORY):
        try:
            accept(backup, migrations)
        except (DatabaseDamaged, DatabaseRefused) as error:
            log.error("the backup %s is of no use: %s", backup, error.message)
            continue
        install(backup, path)
        log.warning("the backup %s took over", backup)
        return backup
    log.warning("there is no good backup: the database begins empty")
    return None


def accept(backup: Path, migrations: Sequence[Migration]) -> None:
    """Raises DatabaseDamaged, or DatabaseRefused for the file of another program or of a newer version."""
    prove(backup)
    with contextlib.closing(open_reader(backup)) as connection:
        refuse_foreign(connection, len(migrations))


def install(backup: Path, path: Path) -> None:
    """A copy of `backup` under the name `path`: all of it or nothing of it."""
    part = path.with_name(path.name + _TEMPORARY)
    shutil.copyfile(backup, part)
    os.chmod(part, 0o600)  # noqa: PTH101 - the same as Path.chmod
    files.sync(part)
    part.replace(path)
    files.sync(path.parent)


def prune(directory: Path, keep: int = KEEP) -> None:
    """The newest `keep` stay; of a copy before a schema change only the newest."""
    nightly = [path for path in listed(directory) if "-schema-" not in path.name]
    changes = [path for path in listed(directory) if "-schema-" in path.name]
    for path in (*nightly[keep:], *changes[1:]):
        path.unlink(missing_ok=True)
