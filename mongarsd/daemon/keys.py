"""API keys: shown once, kept only as their SHA-256."""

from __future__ import annotations

import hashlib
import secrets

PREFIX = "mg-"  # what logs are searched for, to be redacted


def new_key() -> str:
    """A fresh 256-bit key; so many random bits need no slow hash."""
    return PREFIX + secrets.token_urlsafe(32)


def key_hash(key: str) -> str:
    """The form that `server.key_hashes` holds."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()
