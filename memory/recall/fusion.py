"""Two rankings and the time become one ranking. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

#: Of reciprocal rank fusion: how little the first places weigh more than the next; less = they decide. The usual 60 for
#: both lets a passage that both find late win over one that meaning finds first. Chosen on 173 questions that are
#: headings of a FAQ, with 10 for words and 4 for meaning recall@5 is 0.88, with 60 for both 0.75: benchmarks/README.md.
WORDS, MEANING = 10, 4
#: What a memory of this moment gains over one from long ago. Small: it decides between equals.
FRESH = 0.25
#: Seconds after which that gain has halved.
HALF_LIFE = 30 * 86_400.0


def fuse(
    words: Sequence[int] | None,
    meaning: Sequence[int] | None,
    times: Mapping[int, float],
    now: float,
    *,
    unknown: Collection[int] = (),
) -> list[tuple[int, float]]:
    """(id, score), best first; None = not looked for. `times`: seconds since the epoch. 1 = first in both rankings (or
    in the only one), and of this moment.

    `unknown`: ids that have no vector yet, whose place by words counts for both. An id without a time is left out.
    Times ahead of `now` (boards boot without a clock) count as now.
    """
    scores: dict[int, float] = {}
    most = 0.0
    for ranking, smooth in ((words, WORDS), (meaning, MEANING)):
        if ranking is None:
            continue
        most += (1 + FRESH) / (smooth + 1)
        for rank, key in enumerate(ranking, 1):
            scores[key] = scores.get(key, 0.0) + 1 / (smooth + rank)
            if ranking is words and meaning is not None and key in unknown:
                scores[key] += 1 / (MEANING + rank)
    found = [
        (key, score * (1 + FRESH * freshness(now - times[key])) / most) for key, score in scores.items() if key in times
    ]
    return sorted(found, key=lambda one: (-one[1], -one[0]))


def freshness(age: float) -> float:
    """1 now, 0.5 after the half-life."""
    return float(0.5 ** (max(age, 0.0) / HALF_LIFE))
