"""How many threads compute, given what else the board is doing. Pure: time and load are passed in.

All threads wait for each other dozens of times a token. On two cores of which another process keeps one busy, two
threads give 0.3 to 0.6 of what one thread gives (with spinning at its worst, a hundredth).
"""

from __future__ import annotations

from math import floor
from typing import NamedTuple

#: A core counts as taken when others use more than this share of it. Two waiting threads of ours leave a process that
#: wants a whole core at least half of one, so it must be below that; the daemon's clients use a twentieth.
TAKEN = 0.35
#: … and as free again below this.
FREE = 0.2
#: Seconds the load must last before threads go, and come back: a burst shorter than that costs less than a change.
#: Measured on two cores: one thread too many gives 0.2 to 0.4 of the speed, one too few 0.65 to 0.97.
DOWN_AFTER = 0.5
UP_AFTER = 0.75
#: Threads that have to go again within RELAPSE seconds wait twice as long the next time, up to UP_AT_MOST.
RELAPSE = 5.0
UP_AT_MOST = 6.0


class Threads(NamedTuple):
    decode: int
    prefill: int
    why: str


class LiveThreads:
    """`observe` every quarter of a second or so, and at idle; it gives the threads to use from now on."""

    def __init__(self, *, cores: int, decode: int, prefill: int) -> None:
        """`cores`: those this process may run on. The others are the most threads there may be."""
        self._cores = max(1, cores)
        self._most = Threads(decode, prefill, "")
        self._allowed = self._cores
        self._wanted = self._cores  # what the latest windows agree on …
        self._held = 0.0  # … for so many seconds
        self._patience = UP_AFTER
        self._since_up = RELAPSE
        self.threads = self._threads(0.0)

    def observe(self, seconds: float, others: float) -> Threads:
        """In the last `seconds` other processes used `others` cores."""
        self._since_up += seconds
        room = self._cores - others
        wanted = self._allowed
        if (most := max(1, floor(room + TAKEN))) < self._allowed:
            wanted = most
        elif (least := max(1, floor(room + FREE))) > self._allowed:
            wanted = min(self._cores, least)
        if (wanted < self._allowed) != (self._wanted < self._allowed) or wanted == self._allowed:
            self._held = 0.0
        self._wanted = wanted
        if wanted != self._allowed:
            self._held += seconds
            if self._held >= (DOWN_AFTER if wanted < self._allowed else self._patience):
                self._change(wanted, others)
        elif self._since_up > RELAPSE and self._allowed == self._cores:
            self._patience = UP_AFTER
        return self.threads

    def _change(self, wanted: int, others: float) -> None:
        if wanted > self._allowed:
            self._since_up = 0.0
        elif self._since_up < RELAPSE:
            self._patience = min(2 * self._patience, UP_AT_MOST)
        self._allowed = self._wanted = wanted
        self._held = 0.0
        self.threads = self._threads(others)

    def _threads(self, others: float) -> Threads:
        decode, prefill = (max(1, min(most, self._allowed)) for most in self._most[:2])
        if (decode, prefill) == self._most[:2]:
            return self._most
        why = f"other programs keep {others:.1f} of {self._cores} cores busy: more threads would wait for each other"
        return Threads(decode, prefill, why)
