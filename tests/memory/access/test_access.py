from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import BadRequest, Conflict, NotFound, StorageUnavailable
from mongarsd.memory.access.access import MARKER, PREFIX, Access
from mongarsd.memory.access.passwords import Passwords
from mongarsd.memory.access.types import Scope
from mongarsd.memory.room import FILE, Memory

FAST = Passwords(memory=8192, passes=1)


async def opened(folder: Path, clock: FakeClock | None = None) -> Memory:
    memory = Memory(folder, clock or FakeClock())
    memory.access.passwords = FAST
    await memory.start()
    return memory


async def test_a_key_is_shown_once_and_found_again_after_a_restart(tmp_path: Path) -> None:
    memory = await opened(tmp_path)
    assert not memory.access.required
    made = await memory.access.create_key("laptop", account="ana", scopes=(Scope.ADMIN, Scope.CHAT, Scope.CHAT))
    assert made.text.startswith(PREFIX)
    assert made.key.scopes == (Scope.CHAT, Scope.ADMIN)
    assert memory.access.required
    await memory.close()
    again = await opened(tmp_path)
    try:
        assert again.access.find(made.text) == made.key
        assert again.access.find(made.text + "x") is None
        assert again.access.find("") is None
        assert again.access.find("\udcff") is None
        assert [account.id for account in await again.accounts.list()] == ["ana"]
    finally:
        await again.close()
    stored = (tmp_path / FILE).read_bytes()
    assert made.text.encode() not in stored
    assert hashlib.sha256(made.text.encode()).digest() in stored


@pytest.mark.parametrize(
    ("name", "account", "field"),
    [("", "a", "name"), ("a\n", "a", "name"), ("a", "A", "account"), ("a", "../x", "account")],
)
async def test_names_are_checked(tmp_path: Path, name: str, account: str, field: str) -> None:
    memory = await opened(tmp_path)
    try:
        with pytest.raises(BadRequest) as refused:
            await memory.access.create_key(name, account=account)
        assert refused.value.param == field
        with pytest.raises(BadRequest):
            await memory.access.create_key("a", account="a", scopes=())
        assert not memory.access.required
    finally:
        await memory.close()


async def test_expired_keys_stay_expired_on_a_board_without_a_clock(tmp_path: Path) -> None:
    clock = FakeClock()
    memory = await opened(tmp_path, clock)
    short = await memory.access.create_key("short", account="a", lasts=60)
    other = await memory.access.create_key("other", account="a")
    assert memory.access.find(short.text)
    clock.advance(61)
    assert memory.access.find(short.text) is None
    assert memory.access.find(other.text)  # its use is what later tells the time
    await memory.close()
    again = await opened(tmp_path, FakeClock(wall=0.0))
    try:
        assert again.access.find(short.text) is None
        assert again.access.find(other.text)
    finally:
        await again.close()


async def test_a_key_made_while_the_clock_was_ahead_is_told_until_it_is_revoked(tmp_path: Path) -> None:
    memory = await opened(tmp_path)
    short = await memory.access.create_key("short", account="a", lasts=60)
    assert memory.access.warning == ""
    await memory.close()
    memory = await opened(tmp_path, FakeClock(wall=FakeClock().wall() + 4e8))
    await memory.access.create_key("ahead", account="a")
    await memory.close()
    memory = await opened(tmp_path)
    try:
        assert "a key was made or used on 2036-07-" in memory.access.warning
        assert memory.access.find(short.text) is None
        await memory.access.revoke("ahead")
        assert memory.access.warning == ""
        assert memory.access.find(short.text)
    finally:
        await memory.close()


async def test_a_clock_that_is_behind_makes_keys_that_live_as_long_as_they_should(tmp_path: Path) -> None:
    memory = await opened(tmp_path)
    await memory.access.create_key("first", account="a")
    await memory.close()
    clock = FakeClock(wall=0.0)
    again = await opened(tmp_path, clock)
    try:
        short = await again.access.create_key("short", account="a", lasts=60)
        clock.advance(59)
        assert again.access.find(short.text)
        clock.advance(2)
        assert again.access.find(short.text) is None
    finally:
        await again.close()


async def test_the_last_use_is_written_rarely(tmp_path: Path) -> None:
    clock = FakeClock()
    memory = await opened(tmp_path, clock)
    try:
        made = await memory.access.create_key("a", account="a")
        writes = memory.database.writes
        await memory.access.flush()
        for _ in range(100):
            clock.advance(0.1)
            memory.access.find(made.text)
        assert memory.access.keys()[0].used == pytest.approx(clock.wall())
        await memory.access.flush()
        await memory.access.flush()
        assert memory.database.writes == writes + 1
        assert memory.access.keys()[0].used == pytest.approx(clock.wall())
    finally:
        await memory.close()


async def test_revoked_by_id_or_by_a_name_that_is_one(tmp_path: Path) -> None:
    memory = await opened(tmp_path)
    try:
        one, two, three = [await memory.access.create_key(name, account="a") for name in ("x", "x", "y")]
        with pytest.raises(Conflict):
            await memory.access.revoke("x")
        with pytest.raises(NotFound):
            await memory.access.revoke("z")
        await memory.access.revoke(one.key.id)
        await memory.access.revoke("y")
        assert [memory.access.find(made.text) is not None for made in (one, two, three)] == [False, True, False]
        await memory.access.revoke("x")
        assert not memory.access.required
        assert not (tmp_path / MARKER).exists()
    finally:
        await memory.close()


async def test_a_caller_that_leaves_does_not_keep_a_key_alive(tmp_path: Path) -> None:
    memory = await opened(tmp_path)
    try:
        made = await memory.access.create_key("x", account="a")
        leaving = asyncio.create_task(memory.access.revoke("x"))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await memory.accounts.change("a", recall=True)  # a write behind it
        await asyncio.gather(*memory.access._storing)
        assert memory.access.find(made.text) is None
    finally:
        await memory.close()


async def test_keys_that_are_lost_leave_the_door_shut(tmp_path: Path) -> None:
    memory = await opened(tmp_path)
    made = await memory.access.create_key("x", account="a")
    await memory.close()
    assert stat.S_IMODE((tmp_path / MARKER).stat().st_mode) == 0o600
    unread = Memory(tmp_path, FakeClock())
    assert unread.access.required
    with pytest.raises(StorageUnavailable):
        unread.access.find(made.text)
    (tmp_path / FILE).unlink()
    empty = await opened(tmp_path)
    try:
        assert empty.access.required
        assert empty.access.find(made.text) is None
        assert any("mongarsctl keys create" in text for text in empty.warnings())
        await empty.access.create_key("y", account="a")
        assert not empty.warnings()
    finally:
        await empty.close()


async def test_a_key_that_could_not_be_stored_shuts_no_door(tmp_path: Path) -> None:
    memory = await opened(tmp_path)
    try:

        def fail(connection: sqlite3.Connection) -> None:
            connection.execute("DROP TABLE keys")

        await memory.database.write(fail)
        with pytest.raises(sqlite3.OperationalError):
            await memory.access.create_key("x", account="a")
        assert not memory.access.required
    finally:
        await memory.close()
    closed = Memory(tmp_path / "none", FakeClock())
    with pytest.raises(StorageUnavailable):
        await closed.access.create_key("x", account="a")
    assert not closed.access.required


async def test_users_and_the_secret_of_their_tokens(tmp_path: Path) -> None:
    memory = await opened(tmp_path)
    access = memory.access
    assert access.token_secret == b""
    user = await access.add_user("ana", "correct horse", account="family")
    assert access.required
    assert len(access.token_secret) == 32
    secret, first = access.token_secret, access.login("ana")
    assert first
    assert first.user == user
    assert first.hash.startswith("$argon2id$")
    with pytest.raises(Conflict):
        await access.add_user("ana", "correct horse", account="family")
    with pytest.raises(BadRequest):
        await access.add_user("bo", "short", account="family")
    await access.set_password("ana", "another horse")
    changed = access.login("ana")
    assert changed
    assert changed.stamp != first.stamp
    assert await access.passwords.check("another horse", changed.hash)
    await access.add_user("bo", "a third horse", account="family")
    assert access.token_secret == secret
    await memory.close()
    again = await opened(tmp_path)
    try:
        assert again.access.token_secret == secret
        assert again.access.login("ana") == changed
        await again.access.rotate()
        assert again.access.token_secret != secret
        await again.access.remove_user("bo")
        assert [one.name for one in again.access.users()] == ["ana"]
        for wrong in (again.access.remove_user("bo"), again.access.set_password("bo", "whatever else")):
            with pytest.raises(NotFound):
                await wrong
    finally:
        await again.close()


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["create", "revoke", "restart"]), st.integers(0, 3), st.none() | st.floats(1, 100)),
        max_size=12,
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
async def test_the_table_is_what_the_file_says(
    steps: list[tuple[str, int, float | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, clock = tmp_path_factory.mktemp("access"), FakeClock()
    memory = await opened(folder, clock)
    alive: dict[str, tuple[str, float | None]] = {}
    dead: list[str] = []
    try:
        for step, number, lasts in steps:
            clock.advance(10.0)
            if step == "create":
                made = await memory.access.create_key(f"k{number}", account="a", lasts=lasts)
                alive[made.key.id] = (made.text, made.key.expires)
            elif step == "revoke" and alive:
                name = sorted(alive)[number % len(alive)]
                await memory.access.revoke(name)
                dead.append(alive.pop(name)[0])
            elif step == "restart":
                await memory.close()
                memory = await opened(folder, clock)
            now = clock.wall()
            for text, expires in alive.values():
                assert (memory.access.find(text) is not None) == (expires is None or expires > now)
            assert not any(memory.access.find(text) for text in dead)
            assert memory.access.required == bool(alive)
    finally:
        await memory.close()


def test_the_marker_needs_no_database(tmp_path: Path) -> None:
    (tmp_path / MARKER).touch()
    memory = Memory(tmp_path, FakeClock())
    assert Access(tmp_path, memory.database, FakeClock()).required
