from __future__ import annotations

import errno
import os
import time
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import pytest

from mongarsd.ground.clock import FakeClock
from mongarsd.memory.conversations.export import export
from mongarsd.memory.conversations.retention import retain
from mongarsd.memory.conversations.types import NewTurn
from mongarsd.memory.database import backups
from mongarsd.memory.database.backups import listed
from mongarsd.memory.housekeeping import Housekeeping, due
from mongarsd.memory.room import Memory


def at(text: str) -> float:
    return datetime.fromisoformat(text).astimezone().timestamp()


@pytest.mark.parametrize(
    ("now", "last", "when", "expected"),
    [
        ("2026-11-21 03:29", "2026-11-20 03:30", "03:30", False),
        ("2026-11-21 03:30", "2026-11-20 03:30", "03:30", True),
        ("2026-11-21 12:00", "2026-11-21 03:31", "03:30", False),
        ("2026-11-21 12:00", "2026-11-19 03:31", "03:30", True),  # it was switched off at night
        ("2026-11-21 12:00", "2027-01-01 00:00", "03:30", True),  # the clock was wrong then
        ("2026-11-21 12:00", "2026-11-19 03:31", "", False),
    ],
)
def test_when_a_backup_is_due(now: str, last: str, when: str, expected: bool) -> None:
    assert due(at(now), at(last), when) is expected


async def test_nothing_written_nothing_copied(memory: Memory, clock: FakeClock, tmp_path: Path) -> None:
    house = Housekeeping(memory.database, clock, at=lambda: "03:30", keep=lambda: 3)
    await memory.conversations.create("local", [NewTurn(role="user", content="x")])
    await house.look()
    (first,) = listed(tmp_path / "backups")
    os.utime(first, (clock.wall(), clock.wall()))
    for name in ("mongars.db", "mongars.db-wal"):
        os.utime(tmp_path / name, (clock.wall() - 10, clock.wall() - 10))
    clock.advance(2 * 86_400)
    await house.look()
    assert listed(tmp_path / "backups") == (first,)
    os.utime(memory.database.path, (clock.wall() - 5, clock.wall() - 5))
    clock.advance(2 * 86_400)
    await house.look()
    assert len(listed(tmp_path / "backups")) == 2


async def test_backups_made_while_the_clock_was_ahead_are_no_longer_the_newest(memory: Memory, tmp_path: Path) -> None:
    clock = FakeClock(wall=time.time())  # the real one dates what is made
    noon = time.strftime("%H:%M", time.localtime(clock.wall() - 12 * 3600))  # another night does not begin meanwhile
    house = Housekeeping(memory.database, clock, at=lambda: noon, keep=lambda: 3)
    (tmp_path / "backups").mkdir()
    ahead = [tmp_path / "backups" / f"mongars-2038-01-0{day}-033000.db" for day in (1, 2, 3)]
    for day, path in enumerate(ahead):
        path.write_bytes(b"")
        os.utime(path, (clock.wall() + 4e8 + day, clock.wall() + 4e8 + day))
    for _ in range(3):
        await house.look()
        clock.advance(60)
    made, *older = listed(tmp_path / "backups")  # one of them in three minutes, and it stays
    assert made not in ahead
    assert older == [ahead[2], ahead[1]]
    assert all(path.stat().st_mtime < clock.wall() for path in older)


async def test_a_card_that_fails_is_told_and_the_next_look_goes_on(
    memory: Memory, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    house = Housekeeping(memory.database, clock, at=lambda: "03:30", keep=lambda: 3)
    with monkeypatch.context() as patch:
        patch.setattr(backups, "listed", fails)
        for _ in range(3):
            await house.look()
    assert house.trouble == "the backups cannot be read: [Errno 5] Input/output error"
    assert [record.message for record in caplog.records] == [house.trouble]
    with monkeypatch.context() as patch:
        patch.setattr(backups, "prune", fails)
        await house.look()
    assert "failed to read or write" in house.trouble
    clock.advance(86_400)
    await house.look()
    assert house.trouble == ""


async def test_retention_by_age_and_by_bytes_touches_one_account_only(memory: Memory, clock: FakeClock) -> None:
    for _ in range(4):
        for account in ("one", "two"):
            await memory.conversations.create(account, [NewTurn(role="user", content="x" * 1000)])
        clock.advance(86_400)
    await memory.accounts.change("one", max_age=3.5 * 86_400)
    assert await retain(memory.database, clock.wall()) == 1
    await memory.accounts.change("one", max_bytes=2500)
    assert await retain(memory.database, clock.wall()) == 1
    assert len((await memory.conversations.list("one")).items) == 2
    assert len((await memory.conversations.list("two")).items) == 4


async def test_export_has_everything_of_the_account_and_nothing_else(memory: Memory) -> None:
    turns = [NewTurn(role="user", content=f"said {n}") for n in range(150)]
    await memory.conversations.create("one", turns, title="Long")
    await memory.conversations.create("two", [NewTurn(role="user", content="a secret")])
    (line,) = [piece async for piece in export(memory.conversations, "one", "json")]
    assert line.count('"content":"said ') == 150
    (text,) = [piece async for piece in export(memory.conversations, "one", "markdown")]
    assert text.startswith("# Long (")
    assert "said 149" in text
    assert "secret" not in line + text
