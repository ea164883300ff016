"""Drafts by prompt lookup: what followed the last few tokens where they stood before. Pure.

An answer that quotes or edits its prompt repeats long stretches of it. Nothing is computed to find a draft: the last
4 tokens (else 3, else 2) are looked up in what the sequence has so far, and from there on the text is followed as long
as it foretells the tokens that really come.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

LONGEST, SHORTEST = 4, 2  # tokens that must stand there already; one alone foretells nothing
#: The lookup goes back this far: 64 kB, searched in some 10 µs.
WINDOW = 16_384


class NGramIndex:
    """The tokens of one sequence, searchable. Grows with `extend`, 4 bytes a token."""

    def __init__(self) -> None:
        self._tokens = array("i")
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, position: int) -> int:
        return self._tokens[position]

    def extend(self, tokens: Sequence[int]) -> None:
        new = array("i", tokens)
        self._tokens += new
        self._bytes += new.tobytes()

    def find(self) -> tuple[int, int]:
        """(position after the latest earlier place where the last n tokens stand, n), n at its largest; or (0, 0)."""
        end, width = len(self._bytes), self._tokens.itemsize
        begin = max(0, end - WINDOW * width)
        for n in range(LONGEST, SHORTEST - 1, -1):
            if n >= len(self._tokens):
                continue
            tail = self._bytes[-n * width :]
            at = self._bytes.rfind(tail, begin, end - width)
            while at % width > 0 and at >= 0:  # across the borders of tokens: not what was looked for
                at = self._bytes.rfind(tail, begin, at + len(tail) - 1)
            if at >= 0:
                return at // width + n, n
        return 0, 0

    def after(self, position: int, count: int) -> list[int]:
        """`count` tokens from `position` on; at the end the stretch begins anew, as in a text that goes in circles."""
        period = len(self._tokens) - position
        return [self._tokens[position + i % period] for i in range(count)]


class Follower:
    """Walks along an earlier stretch of the sequence, and counts how often it foretold the next token."""

    #: By the streak's length, that is tokens in a row that stood there already or were foretold: 2, 3, 4, 5 to 7 …
    STREAKS = (3, 4, 5, 8, 16)
    #: Chance that the next token is foretold, before anything was seen; counts as much as PRIOR tokens.
    CHANCES = (0.3, 0.45, 0.65, 0.75, 0.85, 0.95)
    PRIOR = 4.0
    KEEP = 0.95  # of older tokens' weight, each time

    def __init__(self) -> None:
        self._index = NGramIndex()
        self._place = 0  # of the token that should come next; 0 = none
        self._streak = 0
        self._right = [chance * self.PRIOR for chance in self.CHANCES]
        self._seen = [self.PRIOR] * len(self.CHANCES)

    def follow(self, tokens: Sequence[int]) -> None:
        """The sequence has grown to `tokens` (never shrinks)."""
        new = tokens[len(self._index) :]
        if len(new) > LONGEST * 4:  # the prompt, or many tokens without us: nothing was foretold
            self._place = self._streak = 0
        for token in new if self._place else ():
            self._count(self._index[self._place] == token)
            self._index.extend((token,))
            if not self._place:
                break
        if len(self._index) < len(tokens):
            self._index.extend(tokens[len(self._index) :])
        if not self._place and new:
            self._place, self._streak = self._index.find()

    def _count(self, right: bool) -> None:
        bucket = self._bucket(self._streak)
        self._right[bucket] = self.KEEP * self._right[bucket] + right
        self._seen[bucket] = self.KEEP * self._seen[bucket] + 1
        self._place = self._place + 1 if right else 0
        self._streak = self._streak + 1 if right else 0

    def _bucket(self, streak: int) -> int:
        return sum(streak >= least for least in self.STREAKS)

    def chances(self, count: int) -> list[float]:
        """That the first, the second, … of `count` drafted tokens is right if those before it are; [] = no draft."""
        if not self._place:
            return []
        buckets = (self._bucket(self._streak + i) for i in range(count))
        return [self._right[bucket] / self._seen[bucket] for bucket in buckets]

    def propose(self, most: int) -> list[int]:
        """`most` tokens, or none when nothing like the last tokens stood anywhere before."""
        return self._index.after(self._place, most) if self._place else []
