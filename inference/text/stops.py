"""Stop strings over a stream of text. Pure: text in, positions out.

The match that is complete first ends the text; of those complete at the same character the one that starts earliest
(the longest) wins. That rule looks at characters only, so the outcome never depends on where tokens begin and end, and
no match has to wait for a longer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Match(NamedTuple):
    start: int  # characters before the stop string
    stop: str


class Stops:
    """A job's stop strings; false when there are none."""

    def __init__(self, stops: Sequence[str]) -> None:
        if not all(stops):
            raise ValueError("a stop string must not be empty")
        self._stops = tuple(dict.fromkeys(stops))
        # Most texts end in a character no unfinished stop string can end in; then nothing is looked at twice.
        self._inner = frozenset(character for stop in self._stops for character in stop[:-1])
        self._first = frozenset(stop[0] for stop in self._stops)
        self._reach = max(map(len, self._stops), default=1) - 1

    def __bool__(self) -> bool:
        return bool(self._stops)

    def find(self, text: str) -> Match | None:
        """The match in `text` that is complete first."""
        best: tuple[int, int, str] | None = None
        for stop in self._stops:
            start = text.find(stop)
            if start >= 0 and (best is None or (start + len(stop), start) < best[:2]):
                best = (start + len(stop), start, stop)
        return best and Match(best[1], best[2])

    def hold(self, text: str) -> int:
        """How many characters at the end of `text` (which holds no match) may be the beginning of a stop string."""
        if not text or text[-1] not in self._inner:
            return 0
        for at in range(max(0, len(text) - self._reach), len(text)):
            if text[at] in self._first:
                tail = text[at:]
                if any(stop.startswith(tail) for stop in self._stops):
                    return len(tail)
        return 0
