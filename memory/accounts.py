"""Whose things these are: the accounts that keys and users belong to, and "local" where no key is needed."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from mongarsd.ground.clock import Clock
from mongarsd.ground.errors import BadRequest
from mongarsd.memory.database.database import Database

LOCAL = "local"

_Bytes = Annotated[int, Meta(ge=0, le=2**50)]
_Limit = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class AccountSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an account wants, kept beside it. Fields of a newer version are ignored."""

    recall: bool = False  # recall memories also for requests that do not ask for it
    remember: bool = False  # "Remember that …" and "forget …" in a chat are obeyed
    max_age: Annotated[float, Meta(ge=0.0, le=3_155_760_000.0)] = 0.0  # seconds a conversation is kept; 0 = for ever
    max_bytes: _Bytes = 0  # of all conversations; the oldest go first; 0 = unbounded
    requests_per_minute: _Limit | None = None  # None = as the settings of the node say; 0 = unbounded
    tokens_per_minute: _Limit | None = None
    jobs: _Limit | None = None  # at the same time


_DEFAULT = AccountSettings()


class Account(Struct, frozen=True, kw_only=True):
    id: str
    created: float  # seconds since the epoch
    settings: AccountSettings


def account_id(account: str) -> str:
    """The account of a request ("" = no key is needed here)."""
    return account or LOCAL


def ensure(connection: sqlite3.Connection, account: str, now: float) -> None:
    """Part of a write: rows that belong to `account` may follow."""
    connection.execute("INSERT OR IGNORE INTO accounts (id, created) VALUES (?, ?)", (account, now))


class Accounts:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._limited: dict[str, AccountSettings] = {}

    def limited(self, account: str) -> AccountSettings:
        """For its limits alone, which every request asks for: from RAM."""
        return self._limited.get(account, _DEFAULT)

    async def load(self) -> None:
        """Raises StorageUnavailable."""
        self._limited = {one.id: one.settings for one in await self.list() if _limits(one.settings)}

    async def get(self, account: str) -> Account:
        """An account that has stored nothing yet has the default settings."""
        async with self._database.reader() as reader:
            rows = list(
                await reader.execute_fetchall("SELECT id, created, settings FROM accounts WHERE id = ?", (account,))
            )
        if not rows:
            return Account(id=account, created=self._clock.wall(), settings=AccountSettings())
        return _account(rows[0])

    async def list(self) -> list[Account]:
        async with self._database.reader() as reader:
            return [
                _account(row)
                for row in await reader.execute_fetchall("SELECT id, created, settings FROM accounts ORDER BY id")
            ]

    async def change(self, account: str, **changes: Any) -> Account:
        """Set the named settings. Raises BadRequest."""

        def work(connection: sqlite3.Connection) -> Account:
            ensure(connection, account, self._clock.wall())
            row = connection.execute("SELECT id, created, settings FROM accounts WHERE id = ?", (account,)).fetchone()
            found = _account(row)
            settings = _checked(structs.asdict(found.settings) | changes)
            connection.execute(
                "UPDATE accounts SET settings = ? WHERE id = ?", (msgspec.json.encode(settings).decode(), account)
            )
            return structs.replace(found, settings=settings)

        changed = await self._database.write(work)
        self._limited.pop(account, None)
        if _limits(changed.settings):
            self._limited[account] = changed.settings
        return changed


def _limits(settings: AccountSettings) -> bool:
    own = settings.requests_per_minute, settings.tokens_per_minute, settings.jobs
    return own != (None, None, None)


def _account(row: Any) -> Account:
    return Account(id=row[0], created=row[1], settings=msgspec.json.decode(row[2], type=AccountSettings))


def _checked(values: dict[str, Any]) -> AccountSettings:
    if unknown := values.keys() - {field.name for field in structs.fields(AccountSettings)}:
        name = min(unknown)
        raise BadRequest(f"{name}: an account has no such setting", param=name)
    try:
        return msgspec.convert(values, AccountSettings)
    except msgspec.ValidationError as error:
        raise BadRequest(f"account settings: {error}") from error
