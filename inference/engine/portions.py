"""How a step's prompt tokens are divided among the waiting prompts, and cut so that they always come out alike.

llama.cpp's attention takes a tiled kernel for rows of at least TILE tokens (GGML_FA_TILE_Q) and another for fewer; the
two round differently. So a prompt is cut at whole tiles and its rest is a row of its own, whatever else the step does,
and tokens that were once decoded one by one (a resumed job's) come in shorter rows: each token takes the kernel it took
before, and at temperature 0 a restarted worker says the same words. No row runs over a sequence's mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mongarsd.inference.engine import sequence as engine
from mongarsd.inference.engine.base import BLOCK

#: A block of the prefix cache is a tile, so what was stored is what would be computed.
TILE = BLOCK


def portions(filling: Sequence[engine.Sequence], budget: int) -> list[tuple[engine.Sequence, int]]:
    """Rows of a step, `budget` tokens at most; a sequence may get several, in order.

    First a tile for each, who has waited longest first: nobody starves. What is left goes to the shortest prompt first,
    which gives the lowest mean time to the first token.
    """
    whole = budget >= TILE
    grants = dict.fromkeys((s.id for s in filling), 0)

    def give(sequence: engine.Sequence, most: int) -> None:
        nonlocal budget
        more = min(sequence.pending - grants[sequence.id], most, budget)
        grants[sequence.id] += more
        budget -= more

    for sequence in sorted(filling, key=lambda s: s.turn):
        give(sequence, TILE)
    for sequence in sorted(filling, key=lambda s: s.pending):
        give(sequence, budget)
    return [(s, count) for s in filling for count in _cuts(s, grants[s.id], whole)]


def _cuts(sequence: engine.Sequence, share: int, whole: bool) -> Iterator[int]:
    """The next rows of a sequence, `share` tokens at most."""
    position, end = sequence.computed, len(sequence.tokens)
    while share > 0 and position < end:
        stop = min((mark for mark in sequence.marks if mark > position), default=end)
        if position >= sequence.prompt:
            count = 1 if sequence.single else min(min(stop, end) - position, share, TILE - 1)
        elif (left := min(stop, sequence.prompt) - position) < TILE or not whole:
            count = min(left, share)
        else:
            count = min(left, share) // TILE * TILE
        if not count:
            return
        yield count
        position += count
        share -= count
