"""Whether drafting pays, and how long drafts should be. Pure: what was right and how long steps took is told.

A draft's tokens are computed in one step with the token before them and kept as far as sampling, asked as always, says
the same. On a CPU a step of 4 rows takes 2.3 to 2.7 times as long as one of a single row, and one of 8 rows 3.6 to 5.1
times (x86, SmolLM2-135M Q4_0, behind 250 and 1,500 tokens), so a draft must be right most of the time. What would have
been right is counted without drafting too, so trying again costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence as Values

from mongarsd.inference.engine.draft import Follower
from mongarsd.inference.engine.sequence import Sequence

#: Tokens drafted: with the one before them 4 or 8, the blocks of a CPU's matrix kernels.
LENGTHS = (3, 7)
LONGEST_DRAFT = max(LENGTHS)
#: More streams than this fill the blocks without drafts.
MOST_STREAMS = 2
#: Drafts of a lower chance are not worth their heat, whatever a step costs.
LEAST_CHANCE = 0.4
#: A draft must promise this much more than its step costs more.
MARGIN = 1.15
#: Steps of 4 and of 8 rows over plain ones, until they were measured.
COSTS = {3: 2.4, 7: 3.7}
#: After this many steps with drafts comes a plain one, to compare with.
COMPARE = 32


class Speculation:
    """Asked before each step, told after it."""

    def __init__(self) -> None:
        self._followers: dict[str, Follower] = {}
        self._plain: dict[int, float] = {}  # seconds of a step without drafts, by streams
        self._since = 0  # steps with drafts since the last plain one
        self._costs = {(streams, length): COSTS[length] for streams in range(1, MOST_STREAMS + 1) for length in LENGTHS}

    def forget(self, sequence: Sequence) -> None:
        self._followers.pop(sequence.id, None)

    def drafts(self, decoding: Values[Sequence]) -> list[list[int]]:
        """A draft for each, or [] for all: nobody is slowed down for another, and rows of one length share a pass."""
        none: list[list[int]] = [[] for _ in decoding]
        streams = len(decoding)
        if not 0 < streams <= MOST_STREAMS:
            return none
        followers = [self._followers.setdefault(s.id, Follower()) for s in decoding]
        for follower, sequence in zip(followers, decoding, strict=True):
            follower.follow(sequence.tokens)
        room = min(sequence.limit - len(sequence.tokens) - 1 for sequence in decoding)
        if self._since >= COMPARE or streams not in self._plain:
            return none
        best, length = MARGIN, 0
        for count in LENGTHS:
            gain = min(_expected(follower.chances(count)) for follower in followers) / self._costs[streams, count]
            if count <= room and gain > best:
                best, length = gain, count
        return [follower.propose(length) for follower in followers] if length else none

    def observe(self, streams: int, draft: int, seconds: float) -> None:
        """A step of `streams` rows, nothing else, with drafts of `draft` tokens at most took `seconds`."""
        if streams > MOST_STREAMS:
            return
        seconds = max(seconds, 1e-9)
        if not draft:
            self._since = 0
            before = self._plain.get(streams, seconds)
            self._plain[streams] = before + 0.3 * (seconds - before)
            for length in LENGTHS:  # a bad measurement is not believed for ever
                self._costs[streams, length] += 0.01 * (COSTS[length] - self._costs[streams, length])
        elif streams in self._plain:
            self._since += 1
            self._costs[streams, draft] += 0.3 * (seconds / self._plain[streams] - self._costs[streams, draft])


def _expected(chances: list[float]) -> float:
    """Tokens that a step brings: one for certain, and each drafted one if those before it are right."""
    if not chances or chances[0] < LEAST_CHANCE:
        return 1.0
    tokens, all_right = 1.0, 1.0
    for chance in chances:
        all_right *= chance
        tokens += all_right
    return tokens
