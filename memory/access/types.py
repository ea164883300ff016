"""Keys and users as the rest of the node sees them. Nothing here opens anything, but for `NewKey.text`."""

from __future__ import annotations

import enum
import re

from msgspec import Struct

from mongarsd.ground.errors import BadRequest


class Scope(enum.StrEnum):
    CHAT = "chat"  # everything but what follows
    ADMIN = "admin"  # models, settings, keys, the database
    METRICS = "metrics"  # /metrics alone


class Key(Struct, frozen=True, kw_only=True):
    id: str
    account: str
    scopes: tuple[Scope, ...]
    name: str
    created: float  # seconds since the epoch, as all times here
    expires: float | None = None
    used: float | None = None  # to the minute


class NewKey(Struct, frozen=True, kw_only=True):
    """`text` is the key itself: shown once, kept nowhere."""

    key: Key
    text: str


class User(Struct, frozen=True, kw_only=True):
    name: str
    account: str
    scopes: tuple[Scope, ...]
    created: float


class Login(Struct, frozen=True, kw_only=True):
    """What checks a user's password and tokens. Never leaves the process."""

    user: User
    hash: str
    stamp: str


class Action(Struct, frozen=True, kw_only=True):
    """What an administrator did."""

    at: float
    who: str
    what: str
    target: str
    status: int


#: Names of accounts and users. Small letters, so that no two look alike in a list.
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def check_name(name: str, param: str) -> str:
    """Raises BadRequest."""
    if not NAME.fullmatch(name):
        raise BadRequest(
            f"{param}: 1 to 64 of a-z, 0-9, dot, dash and underscore, a letter or digit first", param=param
        )
    return name


def check_scopes(scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    """Each once, in their order. Raises BadRequest."""
    if not scopes:
        raise BadRequest("scopes: at least one of chat, admin, metrics", param="scopes")
    return tuple(scope for scope in Scope if scope in scopes)
