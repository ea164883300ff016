"""Grammar-bound sampling in numpy, as `mongarsd.inference.llama.guided` binds llama.cpp's.

What the filters leave is tried token by token, and what does not fit is taken out; only if none is left, the best of
all tokens that fit go through the filters. So a token still takes exactly one random number.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.constraint import Constraint, Watch
from mongarsd.inference.grammar.matcher import Matchers
from mongarsd.inference.onnx.vocabulary import HubVocabulary

#: More candidates than this are not looked at one by one, and no more are given to the filters.
FEW = 256
#: So few that fit are found by their bytes, whatever the model wishes for: 0.1 ms (x86).
NARROW = 64
#: Where more fit, those among so many of the likeliest are the best of them: 1 ms. Only if none of these fits, all are
#: looked at: 100 ms where most of a vocabulary fits.
LIKELY = 1024

Array = np.ndarray[Any, Any]


class Guided:
    """One job's grammar, and where its answer stands in it."""

    def __init__(self, constraint: Constraint, vocabulary: HubVocabulary, matchers: Matchers) -> None:
        """Raises BadRequest."""
        self._vocabulary = vocabulary
        self._words = vocabulary.words
        self._marks = {token: vocabulary.name(token).encode() for token in constraint.marks if token < vocabulary.size}
        self._matchers = matchers
        self._matcher = matchers.enter(self, constraint.grammar)
        self._state = self._matcher.start
        self._watch = Watch(constraint.after)
        self.active = not self._watch.waiting

    def accept(self, token: int) -> bool:
        """The token is part of the answer. False if it does not fit: nothing was changed, and the answer is lost."""
        if token in self._vocabulary.ends:
            return True
        if self.active:
            return self._take(self._piece(token))
        vocabulary = self._vocabulary
        rest = self._watch.feed(vocabulary.piece(token) or vocabulary.name(token).encode())
        if rest is not None:
            self.active = self._take(rest) or not rest.strip()  # "</think>" may come with a line's end
        return True

    def follow(self, tokens: Sequence[int]) -> None:
        """Stand where the job stood that produced `tokens`. Raises BadRequest if they are not of this grammar."""
        for token in tokens:
            self._matcher.begin()
            if not self.accept(token):
                raise BadRequest("produced: these tokens do not follow the job's grammar", param="produced")

    def begin(self) -> None:
        """Another token is to be chosen."""
        self._matcher.begin(self._matchers.bound)

    def fits(self, token: int) -> bool:
        """To the grammar a control token is nothing, unless it stands for its name."""
        if token in self._vocabulary.ends:
            return self._matcher.ended(self._state)
        piece = self._piece(token)
        return bool(piece) and self._matcher.accept(self._state, piece) is not None

    def best(self, logits: Array, most: int) -> Array:
        """The best token that fits and is not forbidden, and up to `most` - 1 that follow it, the likeliest first."""
        tokens = self._fitting(NARROW)
        if tokens is None:
            size = min(LIKELY, len(logits))
            likely = np.argpartition(-logits, size - 1)[:size]
            found = list(itertools.islice(filter(self.fits, _ordered(likely, logits)), most))
            if found or size == len(logits):
                return np.array(found, np.int64)
            tokens = self._fitting()
        return np.array(_ordered(np.array(tokens, np.int64), logits)[:most], np.int64)

    def _fitting(self, most: int | None = None) -> list[int] | None:
        """All tokens that fit, None if they are more than `most`."""
        tokens = self._words.fitting(self._matcher, self._state, most)
        return None if tokens is None else [*tokens, *filter(self.fits, self._vocabulary.ends | self._marks.keys())]

    def _piece(self, token: int) -> bytes:
        return self._marks.get(token) or self._words.pieces[token]

    def _take(self, piece: bytes) -> bool:
        after = self._matcher.accept(self._state, piece)
        if after is None:
            return False
        self._state = after
        return True


def _ordered(tokens: Array, logits: Array) -> list[int]:
    """The likeliest first, of equal ones the lowest; without those that are forbidden."""
    allowed = np.sort(tokens[logits[tokens] > -np.inf])
    ordered: list[int] = allowed[np.argsort(-logits[allowed], kind="stable")].tolist()
    return ordered
