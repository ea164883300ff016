"""How long a worker has been silent, judged fairly. Pure: the clock is passed in."""

from __future__ import annotations


class Silence:
    """Seconds without a word from a worker, counted only while the listener itself was awake.

    A daemon that was stopped, swapped out or late has read nothing either: of the time between two checks at most
    twice the planned interval counts, so a healthy worker is never blamed for its listener.
    """

    def __init__(self, now: float, interval: float) -> None:
        self.seconds = 0.0
        self._checked = now
        self._interval = interval

    def heard(self) -> None:
        self.seconds = 0.0

    def check(self, now: float) -> float:
        """Call every `interval` seconds, after pending messages were read; gives the seconds of silence."""
        self.seconds += min(now - self._checked, 2 * self._interval)
        self._checked = now
        return self.seconds
