"""Numbered SQL files bring the schema up to date: one transaction each, its number recorded in the same transaction."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from typing import NamedTuple

from mongarsd.ground.errors import DatabaseRefused
from mongarsd.memory.database.connect import APPLICATION_ID

log = logging.getLogger(__name__)

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class Migration(NamedTuple):
    number: int
    name: str
    sql: str


def load_migrations() -> tuple[Migration, ...]:
    """The package's own, in order, with no number missing."""
    found = tuple(sorted(_read()))
    if [one.number for one in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations are not numbered without gaps: {[one.name for one in found]}")
    return found


def _read() -> Iterator[Migration]:
    for file in (files("mongarsd.memory") / "migrations").iterdir():
        if match := _NAME.fullmatch(file.name):
            yield Migration(int(match[1]), file.name, file.read_text("utf-8"))


def version(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return number


def migrate(
    connection: sqlite3.Connection, migrations: Sequence[Migration], copy: Callable[[int], None]
) -> tuple[str, ...]:
    """The names of those applied. `copy(version)` keeps the file as it was, before the first change to one with
    content. Raises DatabaseRefused for a newer schema or a file of another program."""
    refuse_foreign(connection, len(migrations))
    have = version(connection)
    waiting = migrations[have:]
    if waiting and have:
        copy(have)
    for one in waiting:
        script = f"BEGIN IMMEDIATE;\n{one.sql}\n;PRAGMA application_id={APPLICATION_ID};"
        try:
            connection.executescript(f"{script}PRAGMA user_version={one.number};COMMIT;")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        log.info("database: applied %s", one.name)
    return tuple(one.name for one in waiting)


def refuse_foreign(connection: sqlite3.Connection, newest: int) -> None:
    """Raises DatabaseRefused. An empty file is nobody's, and welcome."""
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != APPLICATION_ID and (tables or owner):
        raise DatabaseRefused("it is the database of another program; move it away, nothing in it was changed")
    if (have := version(connection)) > newest:
        raise DatabaseRefused(
            f"its schema is number {have}, and this version of mongarsd knows {newest}: install the newer version again"
        )
