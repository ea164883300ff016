"""Points in time and durations as Go writes them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

#: What stands for "never": far away, and still a date in every time zone and language.
NEVER = "2300-01-01T00:00:00Z"


def stamp(seconds: float) -> str:
    """RFC 3339, of seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def nanoseconds(seconds: float) -> int:
    return max(0, round(seconds * 1e9))
