from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import (
    Busy,
    DatabaseDamaged,
    DatabaseRefused,
    NotFound,
    StorageFull,
    StorageUnavailable,
)
from mongarsd.memory.conversations.types import NewTurn
from mongarsd.memory.database import backups, files
from mongarsd.memory.database.database import Database
from mongarsd.memory.database.migrate import Migration, load_migrations
from mongarsd.memory.room import Memory

NOTES = Migration(1, "0001_notes.sql", "CREATE TABLE notes (text TEXT UNIQUE) STRICT;")


def made(path: Path, *migrations: Migration, **more: int) -> Database:
    return Database(path, clock=FakeClock(), migrations=migrations or (NOTES,), **more)


def note(text: str) -> Callable[[sqlite3.Connection], int]:
    return lambda connection: connection.execute("INSERT INTO notes VALUES (?)", (text,)).rowcount


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def notes(database: Database) -> list[str]:
    async with database.reader() as reader:
        return [text for (text,) in await reader.execute_fetchall("SELECT text FROM notes ORDER BY rowid")]


async def test_writes_that_wait_together_share_one_commit(tmp_path: Path) -> None:
    database = made(tmp_path / "a.db")
    await database.start()
    held = threading.Event()
    first = asyncio.create_task(database.write(lambda _: held.wait(10)))
    await asyncio.sleep(0)
    others = [asyncio.create_task(database.write(note(str(n)))) for n in range(50)]
    await asyncio.sleep(0)
    held.set()
    await asyncio.gather(first, *others)
    assert database.writes == 51
    assert database.commits <= 2  # the first one, alone or not
    await database.close()


async def test_a_failed_write_takes_back_itself_only(tmp_path: Path) -> None:
    database = made(tmp_path / "a.db")
    await database.start()

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes VALUES ('half')")
        raise NotFound("no")

    results = await asyncio.gather(
        database.write(note("one")), database.write(broken), database.write(note("two")), return_exceptions=True
    )
    assert isinstance(results[1], NotFound)
    assert await notes(database) == ["one", "two"]
    with pytest.raises(sqlite3.IntegrityError):
        await database.write(note("one"))
    await database.close()


async def test_a_cancelled_caller_does_not_undo_its_write(tmp_path: Path) -> None:
    database = made(tmp_path / "a.db")
    await database.start()
    task = asyncio.create_task(database.write(note("kept")))
    await asyncio.sleep(0)
    task.cancel()
    await database.close()
    await database.start()
    assert await notes(database) == ["kept"]
    await database.close()


async def test_close_stores_what_waits_and_may_be_called_twice(tmp_path: Path) -> None:
    database = made(tmp_path / "a.db")
    await database.start()
    tasks = [asyncio.create_task(database.write(note(str(n)))) for n in range(20)]
    await asyncio.sleep(0)
    await database.close()
    await database.close()
    await asyncio.gather(*tasks)
    assert names(tmp_path) == ["a.db"]  # no log, no marker
    with pytest.raises(StorageUnavailable):
        await database.write(note("late"))
    with pytest.raises(StorageUnavailable):
        await notes(database)


async def test_a_full_queue_is_busy(tmp_path: Path) -> None:
    database = made(tmp_path / "a.db", queue=2)
    await database.start()
    held = threading.Event()
    tasks = [asyncio.create_task(database.write(lambda _: held.wait(10))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await database.write(note("x"))
    held.set()
    await asyncio.gather(*tasks)
    await database.close()


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    database = made(tmp_path / "a.db")
    await database.start()
    with pytest.raises(StorageUnavailable):
        async with database.reader() as reader:
            await reader.execute("INSERT INTO notes VALUES ('x')")
    await database.close()


async def test_a_full_disk_is_told_and_recovers_by_itself(tmp_path: Path) -> None:
    database = made(tmp_path / "a.db")
    await database.start()
    pages = await database.alone(lambda k: k.execute("PRAGMA page_count").fetchone()[0])
    await database.alone(lambda k: k.execute(f"PRAGMA max_page_count={pages}").fetchone())
    with pytest.raises(StorageFull):
        await database.write(note("x" * 100_000))
    assert "full" in database.trouble
    await database.alone(lambda k: k.execute("PRAGMA max_page_count=100000").fetchone())
    await database.write(note("after"))
    assert database.trouble == ""
    assert await notes(database) == ["after"]
    await database.close()


MORE = Migration(2, "0002_more.sql", "CREATE TABLE more (x); INSERT INTO notes VALUES ('two');")
BROKEN = Migration(2, "0002_broken.sql", "CREATE TABLE more (x); INSERT INTO nowhere VALUES (1);")


async def test_a_migration_keeps_a_proven_copy_of_what_was(tmp_path: Path) -> None:
    database = made(tmp_path / "a.db")
    await database.start()
    await database.write(note("one"))
    await database.close()
    database = made(tmp_path / "a.db", NOTES, MORE)
    await database.start()
    assert await notes(database) == ["one", "two"]
    await database.close()
    copy = tmp_path / "backups" / "mongars-schema-0001.db"
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT text FROM notes").fetchall() == [("one",)]


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    database = made(tmp_path / "a.db")
    await database.start()
    await database.close()
    with pytest.raises(StorageUnavailable, match="cannot be opened"):
        await made(tmp_path / "a.db", NOTES, BROKEN).start()
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'more'").fetchall() == []


async def test_a_newer_schema_is_refused_and_not_touched(tmp_path: Path) -> None:
    database = made(tmp_path / "a.db", NOTES, MORE)
    await database.start()
    await database.close()
    before = (tmp_path / "a.db").read_bytes()
    with pytest.raises(DatabaseRefused, match="newer version"):
        await made(tmp_path / "a.db").start()
    assert (tmp_path / "a.db").read_bytes() == before


async def test_another_programs_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(DatabaseRefused, match="another program"):
        await made(tmp_path / "a.db").start()
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


async def stored(state: Path) -> str:
    """A room with one conversation, backed up, closed."""
    memory = Memory(state, FakeClock())
    await memory.start()
    conversation = await memory.conversations.create("local", [NewTurn(role="user", content="hello " * 5000)])
    await memory.backup()
    await memory.close()
    return conversation.id


@pytest.mark.parametrize("harm", ["zero", "truncated", "head", "middle", "text"])
async def test_a_damaged_file_is_put_aside_and_the_newest_good_backup_takes_over(tmp_path: Path, harm: str) -> None:
    name = await stored(tmp_path)
    (tmp_path / "backups" / "mongars-2099-01-01-000000.db").write_bytes(b"not good at all")
    path = tmp_path / "mongars.db"
    data = bytearray(path.read_bytes())
    if harm == "zero":
        data = bytearray()
    elif harm == "truncated":
        data = data[: len(data) // 2]
    elif harm == "head":
        data[:64] = bytes(64)
    elif harm == "text":
        data = bytearray(b"these are my notes")
    else:
        data[4096 : 20 * 4096] = b"\xff" * (19 * 4096)
        files.mark(path)  # damage in the middle is looked for after an unclean stop only
    path.write_bytes(data)
    memory = Memory(tmp_path, FakeClock())
    await memory.start()
    assert (await memory.conversations.get("local", name)).turns == 1
    (warning,) = memory.warnings()
    (aside,) = files.put_away(path)
    assert str(aside) in warning
    assert aside.read_bytes() == bytes(data)
    await memory.close()


async def test_a_read_only_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await stored(tmp_path)
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != tmp_path / "mongars.db")  # root may write anything
    memory = Memory(tmp_path, FakeClock())
    with pytest.raises(StorageUnavailable, match="read-only"):
        await memory.start()
    assert "read-only" in memory.warnings()[0]
    with pytest.raises(StorageUnavailable):
        await memory.conversations.list("local")
    await memory.close()


async def test_a_file_that_was_removed_or_replaced_is_told(tmp_path: Path) -> None:
    memory = Memory(tmp_path, FakeClock())
    await memory.start()
    path, aside = tmp_path / "mongars.db", tmp_path / "aside"
    assert memory.warnings() == []
    path.rename(aside)
    (removed,) = memory.warnings()
    path.write_bytes(aside.read_bytes())
    (replaced,) = memory.warnings()
    assert removed == replaced
    assert "was removed or replaced while it was open" in removed
    aside.replace(path)
    assert memory.warnings() == []
    await memory.close()


async def test_a_restored_backup_takes_the_place_of_the_file_which_is_kept(tmp_path: Path) -> None:
    await stored(tmp_path)
    memory = Memory(tmp_path, FakeClock())
    await memory.start()
    await memory.conversations.delete_all("local")
    (backup,) = (await memory.status()).backups
    await memory.restore(backup.name)
    status = await memory.status()
    assert (status.conversations, status.turns, status.warnings) == (1, 1, ())
    assert sum(name.startswith("mongars.db.replaced-") for name in names(tmp_path)) == 1
    (tmp_path / "backups" / "mongars-bad.db").write_bytes(b"x" * 5000)
    with pytest.raises(DatabaseDamaged):
        await memory.restore("mongars-bad.db")
    with pytest.raises(NotFound):
        await memory.restore("../mongars.db")
    assert (await memory.status()).turns == 1
    await memory.close()


async def test_old_backups_go(tmp_path: Path) -> None:
    clock = FakeClock()
    memory = Memory(tmp_path, clock)
    await memory.start()
    for _ in range(5):
        await memory.backup()
        clock.advance(86_400)
    assert len(backups.listed(tmp_path / "backups")) == 3
    assert not list((tmp_path / "backups").glob("*.part"))
    await memory.close()


def test_the_migrations_of_the_package_are_numbered_from_one() -> None:
    assert [one.number for one in load_migrations()] == list(range(1, len(load_migrations()) + 1))
