"""Two rankings and the time become one ranking. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: Of reciprocal rank fusion (Cormack, Clarke, Büttcher 2009): how little the first places weigh more than the next.
SMOOTH = 60
#: What a memory of this moment gains over one from long ago. Small: it decides between equals.
FRESH = 0.25
#: Seconds after which that gain has halved.
HALF_LIFE = 30 * 86_400.0


def fuse(rankings: Sequence[Sequence[int]], times: Mapping[int, float], now: float) -> list[tuple[int, float]]:
    """(id, score), best first; `times`: seconds since the epoch. 1 = first in every ranking, and of this moment.

    An id without a time is left out. Times ahead of `now` (boards boot without a clock) count as now.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking):
            scores[key] = scores.get(key, 0.0) + 1 / (SMOOTH + rank)
    most = max(len(rankings), 1) * (1 + FRESH) / SMOOTH
    found = [
        (key, score * (1 + FRESH * freshness(now - times[key])) / most) for key, score in scores.items() if key in times
    ]
    return sorted(found, key=lambda one: (-one[1], -one[0]))


def freshness(age: float) -> float:
    """1 now, 0.5 after the half-life."""
    return float(0.5 ** (max(age, 0.0) / HALF_LIFE))
