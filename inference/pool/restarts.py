"""When a crashed worker is started again, and when that is given up. Pure: the clock is passed in."""

from __future__ import annotations

#: Seconds before the restart after so many fruitless crashes in a row. After the last of them the model fails.
BACK_OFF = (0.0, 0.25, 0.5, 1.0, 2.0)
#: A worker that lived this long (seconds) was healthy: what killed it starts a new count.
STABLE = 60.0
#: Fruitless crashes after which a model that never became ready fails: its load is what crashes.
FIRST_LOADS = 2


class Restarts:
    """Counts crashes; fruitless ones (no token delivered, short life) in a row lead to back-off, then to the end.

    Fruitful crashes need no limit here: each costs its running jobs one of their two lives.
    """

    def __init__(self) -> None:
        self.total = 0
        self.fruitless = 0

    def crashed(self, lived: float, *, fruitful: bool, proven: bool) -> float | None:
        """Seconds to wait before the restart; None = give up. `proven`: the model has been ready before."""
        self.total += 1
        if fruitful or lived >= STABLE:
            self.fruitless = 0
            return 0.0
        self.fruitless += 1
        limit = len(BACK_OFF) if proven else FIRST_LOADS
        return BACK_OFF[self.fruitless - 1] if self.fruitless <= limit else None
