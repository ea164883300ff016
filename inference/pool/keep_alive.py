"""How long an idle model stays in memory. Pure."""

from __future__ import annotations

#: Seconds a freshly loaded model waits for its first job, even with keep_alive 0: whoever loaded it is about to use it.
GRACE = 10.0


def expires_in(keep_alive: float, idle_for: float | None, *, used: bool) -> float | None:
    """Seconds until unload (0 = now); None = never, or not while it is busy (`idle_for` is None).

    keep_alive: seconds; negative = forever; 0 = at once after the last job.
    """
    if keep_alive < 0 or idle_for is None:
        return None
    allowed = keep_alive if used else max(keep_alive, GRACE)
    return max(0.0, allowed - idle_for)
