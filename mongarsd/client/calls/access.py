"""Who may use the node, and how much: keys, users, accounts, and what administrators did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

from msgspec import Struct

from mongarsd.client.call import QUICK, Call, given, path


class Key(Struct, frozen=True, kw_only=True):
    """Times are seconds since the epoch."""

    id: str
    account: str
    scopes: tuple[str, ...]
    name: str
    created: float
    expires: float | None = None
    used: float | None = None


class NewKey(Struct, frozen=True):
    key: Key
    text: str  # shown only now

    def __repr__(self) -> str:
        return f"NewKey({self.key!r})"


class User(Struct, frozen=True, kw_only=True):
    name: str
    account: str
    scopes: tuple[str, ...]
    created: float


class AccountSettings(Struct, frozen=True, kw_only=True):
    """None = as the node's settings say; 0 = no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    jobs: int | None = None
    recall: bool = False  # give chats what is remembered, unasked
    remember: bool = False  # obey "Remember that …"
    max_age: float = 0.0  # seconds
    max_bytes: int = 0


class Account(Struct, frozen=True, kw_only=True):
    id: str
    created: float
    settings: AccountSettings = AccountSettings()


class AccountChange(TypedDict, total=False):
    """What is absent stays; None = as the node's settings say."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    jobs: int | None
    recall: bool
    remember: bool
    max_age: float
    max_bytes: int


class Action(Struct, frozen=True, kw_only=True):
    at: float
    who: str
    what: str
    target: str
    status: int


def keys() -> Call[list[Key]]:
    """All keys, without their secrets."""
    return Call("GET", "/admin/keys", list[Key], timeout=QUICK)


def create_key(
    name: str, *, account: str | None = None, scopes: Sequence[str] = ("chat",), lasts: float | None = None
) -> Call[NewKey]:
    """Make a key of an account (else of one with its name), for `lasts` seconds (else until it is revoked)."""
    fields = {"name": name, "account": account or name, "scopes": list(scopes), "lasts": lasts}
    return Call("POST", "/admin/keys", NewKey, given(fields))


def revoke_key(name: str) -> Call[Key]:
    """Revoke a key, by id, or by a name that only one has."""
    return Call("DELETE", path("/admin/keys", name), Key)


def users() -> Call[list[User]]:
    """All users."""
    return Call("GET", "/admin/users", list[User], timeout=QUICK)


def add_user(name: str, password: str, *, account: str | None = None, scopes: Sequence[str] = ("chat",)) -> Call[User]:
    """Add a user of an account, else of one with the user's name."""
    fields = {"name": name, "password": password, "account": account or name, "scopes": list(scopes)}
    return Call("POST", "/admin/users", User, fields)


def set_password(name: str, password: str) -> Call[User]:
    """Set a user's password; the user's tokens die."""
    return Call("POST", path("/admin/users", name, "password"), User, {"password": password})


def remove_user(name: str) -> Call[User]:
    """Remove a user; what the account has stays."""
    return Call("DELETE", path("/admin/users", name), User)


def rotate_tokens() -> Call[None]:
    """End the life of every token that a user got for a password."""
    return Call("POST", "/admin/tokens/rotate", type(None))


def accounts() -> Call[list[Account]]:
    """All accounts and their own limits."""
    return Call("GET", "/admin/memory/accounts", list[Account], timeout=QUICK)


def change_account(name: str, **changes: Unpack[AccountChange]) -> Call[Account]:
    """Change an account's settings; without any, show them."""
    body: dict[str, Any] = dict(changes)
    return Call("POST", path("/admin/memory/accounts", name), Account, body)


def audit(*, limit: int = 50) -> Call[list[Action]]:
    """What administrators did, newest first."""
    return Call("GET", path("/admin/audit", limit=limit), list[Action], timeout=QUICK)
