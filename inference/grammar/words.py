"""A vocabulary's tokens in the order of their bytes: those that fit are found without a look at most of the others."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from mongarsd.inference.grammar.matcher import Matcher, State

#: So many that begin alike are tried one by one.
FEW = 8


class Words:
    def __init__(self, pieces: Sequence[bytes]) -> None:
        """`pieces`: the bytes of each token; those without any never fit."""
        self.pieces = pieces
        self._tokens = sorted((token for token, piece in enumerate(pieces) if piece), key=pieces.__getitem__)
        self._sorted = [pieces[token] for token in self._tokens]

    def fitting(self, matcher: Matcher, state: State, most: int | None = None) -> list[int] | None:
        """All tokens that fit, None if they are more than `most`. Raises BadRequest."""
        words = self._sorted
        found: list[int] = []
        todo = [(0, len(words), 0, state)]  # those from … to … that begin alike, so many bytes, and where that leads
        while todo:
            if most is not None and len(found) > most:
                return None
            low, high, depth, here = todo.pop()
            if high - low <= FEW:
                found += [
                    self._tokens[place]
                    for place in range(low, high)
                    if matcher.follow(here, words[place][depth:]) is not None
                ]
                continue
            while low < high and len(words[low]) == depth:
                if matcher.whole(here):
                    found.append(self._tokens[low])
                low += 1
            while low < high:
                byte = words[low][depth]
                end = bisect_left(words, words[low][:depth] + bytes((byte + 1,)), low, high) if byte < 255 else high
                if (after := matcher.step(here, byte)) is not None:
                    todo.append((low, end, depth + 1, after))
                low = end
        return None if most is not None and len(found) > most else found
