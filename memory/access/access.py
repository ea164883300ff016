"""Keys and users: the file holds them, a table in RAM answers for them, so that no request waits for SQLite.

A key is found by its SHA-256 in a dict. How long that takes may tell something of hashes, but whoever cannot make a
key with a wanted hash learns nothing from it, and of 256 random bits nobody guesses one.

The marker file says that keys were made here. While the database cannot be read, or has lost them, it keeps the door
shut that no key ever guarded before.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import logging
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import BadRequest, Conflict, NotFound, StorageUnavailable
from mongarsd.memory.access.passwords import Passwords
from mongarsd.memory.access.types import Key, Login, NewKey, Scope, User, check_name, check_scopes
from mongarsd.memory.accounts import ensure
from mongarsd.memory.database.connect import translate
from mongarsd.memory.database.database import Database
from mongarsd.memory.database.writer import T, Work

log = logging.getLogger(__name__)

MARKER = "keys.required"
PREFIX = "mg-"  # what logs are searched for, to be redacted
#: Of each kind. They are all in RAM, at about 1 kB.
MOST = 1000
#: Seconds between two writes of when keys were used.
FLUSH = 60.0
#: Seconds: a clock that is further behind what the keys say is wrong, or it was when they said it.
AHEAD = 86_400.0
_TOKEN = "token"  # noqa: S105  # the name of a row
_SECRET = 32  # bytes, as many as HS256 makes


class Access:
    """`known`: the table is what the file holds. Writes raise StorageUnavailable, and change the table when stored."""

    def __init__(self, state: Path, database: Database, clock: Clock) -> None:
        self._marker = state / MARKER
        self._database, self._clock = database, clock
        self.passwords = Passwords()
        self._keys: dict[bytes, Key] = {}
        self._logins: dict[str, Login] = {}
        self._used: dict[str, float] = {}  # not in the file yet
        self._newest, self._since = 0.0, clock.monotonic()  # a wall time that had been by then
        self._marked = self._marker.exists()
        self._storing: set[asyncio.Task[None]] = set()
        self.token_secret = b""  # b"" = there was never a user
        self.known = False

    @property
    def required(self) -> bool:
        """Must requests carry a key?"""
        return self._marked or bool(self._keys or self._logins)

    @property
    def warning(self) -> str:
        if self.known and self._newest - self._clock.wall() > AHEAD:
            newest = datetime.date.fromtimestamp(self._newest)
            return (
                f"a key was made or used on {newest}, which is to come: set the clock, or if it is right revoke the "
                "keys that are dated so (`mongarsctl keys list`); until then keys and tokens expire too early"
            )
        if not self.known or self._keys or self._logins or not self._marked:
            return ""
        return "keys were made here, but the database holds none: make one with `mongarsctl keys create`"

    def now(self) -> float:
        """Wall time, but never before a time that is known to be past, and never standing still: a board may boot in
        1970."""
        return max(self._clock.wall(), self._newest + self._clock.monotonic() - self._since)

    async def load(self) -> None:
        """Read the file into the table. Raises StorageUnavailable."""
        async with self._database.reader() as reader:
            keys = list(
                await reader.execute_fetchall(
                    "SELECT hash, id, account, scopes, name, created, expires, used FROM keys"
                )
            )
            users = list(await reader.execute_fetchall("SELECT name, account, scopes, created, hash, stamp FROM users"))
            token = list(await reader.execute_fetchall("SELECT value FROM secrets WHERE name = ?", (_TOKEN,)))
        self._keys = {row[0]: _key(row[1:]) for row in keys}
        self._logins = {row[0]: _login(row) for row in users}
        self.token_secret = token[0][0] if token else b""
        self._newest = self._dated(self._newest)
        self._since = self._clock.monotonic()
        if (self._keys or self._logins) and not self._marked:
            self._mark()
        self.known = True

    def find(self, text: str) -> Key | None:
        """The key, if it is one and has not expired. Notes its use. Raises StorageUnavailable."""
        if not self.known and self._marked:
            raise StorageUnavailable("the keys cannot be read now: see `mongarsctl status`")
        key = self._keys.get(_hash(text))
        if key is None or not _lasts(key, self.now()):
            return None
        self._used[key.id] = self._clock.wall()
        return key

    def holds(self, name: str) -> bool:
        """Is there a key of this id that has not expired?"""
        return any(key.id == name and _lasts(key, self.now()) for key in self._keys.values())

    def login(self, name: str) -> Login | None:
        return self._logins.get(name)

    def keys(self) -> list[Key]:
        """Oldest first."""
        held = [structs.replace(key, used=self._used.get(key.id, key.used)) for key in self._keys.values()]
        return sorted(held, key=lambda key: (key.created, key.id))

    def users(self) -> list[User]:
        return [self._logins[name].user for name in sorted(self._logins)]

    async def create_key(
        self, name: str, *, account: str, scopes: Sequence[Scope] = (Scope.CHAT,), lasts: float | None = None
    ) -> NewKey:
        """`lasts`: seconds. Raises BadRequest, Conflict."""
        if not 1 <= len(name) <= 64 or not name.isprintable():
            raise BadRequest("name: 1 to 64 printable characters", param="name")
        check_name(account, "account")
        self._check_known()
        if len(self._keys) >= MOST:
            raise Conflict(f"there are {MOST} keys already; revoke some")
        text, now = PREFIX + secrets.token_urlsafe(32), self._clock.wall()
        key = Key(
            id=f"key_{secrets.token_hex(8)}",
            account=account,
            scopes=check_scopes(tuple(scopes)),
            name=name,
            created=now,
            expires=None if lasts is None else self.now() + lasts,
        )
        row = (key.id, account, _hash(text), " ".join(key.scopes), name, now, key.expires)

        def work(connection: sqlite3.Connection) -> None:
            ensure(connection, account, now)
            connection.execute(
                "INSERT INTO keys (id, account, hash, scopes, name, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?)", row
            )

        self._mark()
        await self._store(work, lambda _: self._keys.update({_hash(text): key}))
        return NewKey(key=key, text=text)

    async def revoke(self, name: str) -> Key:
        """By its id, or its name if only one has it. Raises NotFound, Conflict."""
        found = [(digest, key) for digest, key in self._keys.items() if name in (key.id, key.name)]
        if not found:
            raise NotFound("there is no such key: see `mongarsctl keys list`", param="key")
        if len(found) > 1:
            raise Conflict("several keys have this name: give the id of one", param="key")
        ((digest, key),) = found

        def gone(_: object) -> None:
            self._keys.pop(digest, None)
            self._used.pop(key.id, None)
            self._newest = min(self._newest, self._dated())  # it may have been made while the clock was ahead

        await self._store(lambda connection: connection.execute("DELETE FROM keys WHERE id = ?", (key.id,)), gone)
        return key

    async def add_user(
        self, name: str, password: str, *, account: str, scopes: Sequence[Scope] = (Scope.CHAT,)
    ) -> User:
        """Raises BadRequest, Conflict."""
        check_name(name, "name")
        check_name(account, "account")
        self._check_known()
        if name in self._logins:
            raise Conflict(f"there is a user {name} already", param="name")
        if len(self._logins) >= MOST:
            raise Conflict(f"there are {MOST} users already; remove some")
        user = User(name=name, account=account, scopes=check_scopes(tuple(scopes)), created=self._clock.wall())
        login = Login(user=user, hash=await self.passwords.hash(password), stamp=secrets.token_hex(8))
        fresh = secrets.token_bytes(_SECRET)

        def added(secret: bytes) -> None:
            self.token_secret = secret
            self._logins[name] = login

        def work(connection: sqlite3.Connection) -> bytes:
            ensure(connection, account, user.created)
            row = (name, account, login.hash, " ".join(user.scopes), login.stamp, user.created)
            try:
                connection.execute(
                    "INSERT INTO users (name, account, hash, scopes, stamp, created) VALUES (?, ?, ?, ?, ?, ?)", row
                )
            except sqlite3.IntegrityError as error:
                raise Conflict(f"there is a user {name} already", param="name") from error
            connection.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (_TOKEN, fresh))
            held: bytes = connection.execute("SELECT value FROM secrets WHERE name = ?", (_TOKEN,)).fetchone()[0]
            return held

        self._mark()
        await self._store(work, added)
        return user

    async def set_password(self, name: str, password: str) -> User:
        """The user's tokens die. Raises NotFound, BadRequest."""
        self._user(name)
        hashed, stamp = await self.passwords.hash(password), secrets.token_hex(8)
        login = structs.replace(self._user(name), hash=hashed, stamp=stamp)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE users SET hash = ?, stamp = ? WHERE name = ?", (hashed, stamp, name))

        await self._store(work, lambda _: self._logins.update({name: login}))
        return login.user

    async def remove_user(self, name: str) -> User:
        """Their tokens die. Raises NotFound."""
        user = self._user(name).user
        await self._store(
            lambda connection: connection.execute("DELETE FROM users WHERE name = ?", (name,)),
            lambda _: self._logins.pop(name, None),
        )
        return user

    async def rotate(self) -> None:
        """A new secret: every token dies."""
        fresh = secrets.token_bytes(_SECRET)
        await self._store(
            lambda connection: connection.execute("INSERT OR REPLACE INTO secrets VALUES (?, ?)", (_TOKEN, fresh)),
            lambda _: setattr(self, "token_secret", fresh),
        )

    async def flush(self) -> None:
        """Store when keys were used. Raises StorageUnavailable; then the next call tries again."""
        if not self._used:
            return
        used = dict(self._used)

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("UPDATE keys SET used = ? WHERE id = ?", [(at, key) for key, at in used.items()])

        await self._database.write(work)
        for digest, key in self._keys.items():
            if key.id in used:
                self._keys[digest] = structs.replace(key, used=used[key.id])
        self._used = {key: at for key, at in self._used.items() if used.get(key) != at}

    def _dated(self, default: float = 0.0) -> float:
        """The latest time in the table."""
        return max((time for key in self._keys.values() for time in (key.created, key.used or 0.0)), default=default)

    def _user(self, name: str) -> Login:
        if (login := self._logins.get(name)) is None:
            raise NotFound("there is no such user: see `mongarsctl users list`", param="name")
        return login

    async def _store(self, work: Work[T], then: Callable[[T], object]) -> None:
        """Then the table, also when the caller is cancelled: a key that is revoked in the file must not live on."""

        async def both() -> None:
            try:
                then(await self._database.write(work))
            finally:
                self._unmark()

        task = asyncio.get_running_loop().create_task(both(), name="memory.access")
        self._storing.add(task)
        task.add_done_callback(self._stored)
        await asyncio.shield(task)

    def _stored(self, task: asyncio.Task[None]) -> None:
        self._storing.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be gone: nobody else will look

    def _check_known(self) -> None:
        if not self.known:
            raise StorageUnavailable(self._database.trouble or "the database is not open")

    def _mark(self) -> None:
        try:
            self._marker.touch(mode=0o600)
        except OSError as error:
            raise translate(error, self._marker) or error from error
        self._marked = True

    def _unmark(self) -> None:
        """If the last one went by the owner's own hand, or the first could not be stored."""
        if not self._keys and not self._logins and self.known:
            self._marker.unlink(missing_ok=True)
            self._marked = False


def _lasts(key: Key, now: float) -> bool:
    return key.expires is None or now < key.expires


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _scopes(text: str) -> tuple[Scope, ...]:
    return tuple(scope for scope in Scope if scope in text.split())


def _key(row: Any) -> Key:
    id_, account, scopes, name, created, expires, used = row
    return Key(id=id_, account=account, scopes=_scopes(scopes), name=name, created=created, expires=expires, used=used)


def _login(row: Any) -> Login:
    name, account, scopes, created, hashed, stamp = row
    user = User(name=name, account=account, scopes=_scopes(scopes), created=created)
    return Login(user=user, hash=hashed, stamp=stamp)
