"""One thing the doctor has to say."""

from __future__ import annotations

import enum

from msgspec import Struct


class Level(enum.StrEnum):
    OK = "ok"
    NOTE = "note"  # nothing to do
    WARNING = "warning"  # works, but not as well as it could, or not for long
    FAULT = "fault"  # does not work


class Finding(Struct, frozen=True):
    """`text` is what was seen, `remedy` what to do about it ("" = nothing)."""

    subject: str
    level: Level
    text: str
    remedy: str = ""
