"""Grammar-bound sampling with llama.cpp's own grammar, at the price of the few candidates that its filters leave.

llama.cpp checks each candidate against the grammar, 49,000 for SmolLM2: some milliseconds a token. Here a sampler of
ours stands in the chain right before the draw, so it sees what the filters left (40 at most by default). Those that do
not fit are taken out; only if none is left, all tokens that begin with a byte that fits are checked, and the filters
choose among those that fit. So a token still takes exactly one random number, which resuming relies on (`chain.py`).

llama.cpp aborts the process when a grammar accepts a token that does not fit. So nothing is accepted unchecked.
"""

from __future__ import annotations

import array
import ctypes
import math
from collections.abc import Sequence
from typing import Any

from mongarsd.ground.errors import BadRequest
from mongarsd.inference.grammar.constraint import Constraint, Watch
from mongarsd.inference.llama.library import load_library, native_log
from mongarsd.inference.llama.tokens import Vocabulary

#: More candidates than this are not looked at one by one: Python takes 0.2 µs for each.
FEW = 256


class Guided:
    """One job's grammar, inside its chain (which frees the sampler; `close` frees the rest)."""

    def __init__(self, constraint: Constraint, chain: Any, vocabulary: Vocabulary, *, greedy: bool) -> None:
        """Puts itself before the chain's last sampler. Raises BadRequest when llama.cpp refuses the grammar."""
        self._lib = lib = load_library()
        self._vocabulary = vocabulary
        self._chain = chain
        self._greedy = greedy
        self._watch = Watch(constraint.after)
        # To the grammar a control token is its name, to the reader it is nothing: never one instead of the other.
        self._named = vocabulary.ends | constraint.marks
        self._silent = vocabulary.control - self._named
        native_log().forget()
        self._grammar = lib.llama_sampler_init_grammar(vocabulary.handle, constraint.grammar.encode(), b"root")
        if not self._grammar:
            reason = native_log().last_error or "no reason given"
            raise BadRequest(f"grammar: llama.cpp cannot use it ({reason})", param="grammar")
        self._active = not self._watch.waiting
        self._argmax = lib.llama_sampler_init_greedy()
        self._best = lib.llama_sampler_init_top_k(FEW)
        self._one = (lib.llama_token_data * 1)()
        self._output: Any = None  # the logits of the row being sampled
        self._interface = lib.llama_sampler_i(apply=type(lib.llama_sampler_i().apply)(self._apply))
        own = lib.llama_sampler_init(ctypes.byref(self._interface), None)
        last = lib.llama_sampler_chain_remove(chain, lib.llama_sampler_chain_n(chain) - 1)
        lib.llama_sampler_chain_add(chain, own)
        lib.llama_sampler_chain_add(chain, last)

    def begin(self, logits: Any) -> None:
        """The next sampling reads this row, a pointer to floats."""
        self._output = logits

    def accept(self, token: int) -> bool:
        """The token is part of the answer. False if it does not fit: nothing was changed, and the answer is lost."""
        if token in self._vocabulary.ends:
            return True
        if not self._active:
            vocabulary = self._vocabulary
            rest = self._watch.feed(vocabulary.piece(token) or vocabulary.name(token).encode())
            if rest is not None:
                self._active = self._take_rest(rest) or not rest.strip()  # "</think>" may come with a line's end
            return True
        return self._accept_one(token)

    def close(self) -> None:
        """Call before the chain is freed, or after."""
        if self._grammar:
            for sampler in (self._grammar, self._argmax, self._best):
                self._lib.llama_sampler_free(sampler)
            self._grammar = None

    def _accept_one(self, token: int) -> bool:
        if not self._fits(token):
            return False
        self._lib.llama_sampler_accept(self._grammar, token)
        return True

    def _take_rest(self, rest: bytes) -> bool:
        """The token that ended the wait said more already."""
        tokens = self._vocabulary.tokenize(rest.decode("utf-8", "replace"), special=False) if rest else []
        return all(self._accept_one(token) for token in tokens)

    def _fits(self, token: int) -> bool:
        if token in self._silent:
            return False
        self._one[0] = self._lib.llama_token_data(token, 1.0, 0.0)
        alone = self._lib.llama_token_data_array(data=self._one, size=1, selected=-1, sorted=False)
        self._lib.llama_sampler_apply(self._grammar, ctypes.byref(alone))
        return bool(self._one[0].logit != -math.inf)

    def _apply(self, _: Any, pointer: Any) -> None:
        """Called by the chain in the middle of `llama_sampler_sample`. Must leave at least one candidate."""
        if not self._active or not self._grammar:
            return
        candidates = pointer.contents
        if self._greedy and candidates.size > 1:
            self._lib.llama_sampler_apply(self._argmax, pointer)
            best = candidates.data[candidates.selected]
            token, logit = best.id, best.logit
            if logit != -math.inf and self._fits(token):
                _only(candidates, token, logit)
                return
            self._lib.llama_sampler_apply(self._best, pointer)
        if candidates.size <= FEW and self._keep_fitting(pointer):
            return
        self._refill(pointer)

    def _keep_fitting(self, pointer: Any) -> bool:
        """Take out what does not fit; False if nothing is left."""
        candidates = pointer.contents
        self._lib.llama_sampler_apply(self._grammar, pointer)
        data, kept = candidates.data, 0
        for one in data[: candidates.size]:
            if one.logit != -math.inf and one.id not in self._silent:
                if data[kept].id != one.id:
                    data[kept] = self._lib.llama_token_data(one.id, one.logit, one.p)
                kept += 1
        if kept:
            candidates.size = kept
            candidates.selected = -1
        return kept > 0

    def _refill(self, pointer: Any) -> None:
        """From all tokens those that fit, through the filters again. The array has room: it began with all of them."""
        lib, candidates = self._lib, pointer.contents
        tokens = self._likely()
        size, fields = len(tokens), 3  # llama_token_data: id, logit, p; four bytes each
        room = (lib.llama_token_data * size).from_address(ctypes.addressof(candidates.data.contents))
        view = memoryview(room).cast("B")
        row = (ctypes.c_float * self._vocabulary.size).from_address(ctypes.addressof(self._output.contents))
        logits = memoryview(row).cast("B").cast("f")
        view.cast("i")[::fields] = memoryview(tokens)
        view.cast("f")[1::fields] = memoryview(array.array("f", map(logits.__getitem__, tokens)))
        candidates.size, candidates.selected, candidates.sorted = size, -1, False
        first = lib.llama_sampler_chain_get(self._chain, 0)
        biased = lib.llama_sampler_name(first) == b"logit-bias"
        if biased:
            lib.llama_sampler_apply(first, pointer)
        lib.llama_sampler_apply(self._grammar, pointer)
        lib.llama_sampler_apply(self._best, pointer)
        fitting = sum(one.logit != -math.inf for one in candidates.data[: candidates.size])
        if not fitting:  # no token of this vocabulary fits, or a bias forbids the ones that do
            _only(candidates, next(iter(self._vocabulary.ends), 0), 0.0)
            return
        candidates.size = fitting
        for index in range(biased, lib.llama_sampler_chain_n(self._chain) - 2):
            lib.llama_sampler_apply(lib.llama_sampler_chain_get(self._chain, index), pointer)

    def _likely(self) -> array.array[int]:
        """The tokens that may fit: those whose first byte does, and those that stand for more than their text."""
        first = self._vocabulary.first_bytes
        size = len(first.probes)
        probes = (self._lib.llama_token_data * size)(*((token, 1.0, 0.0) for token in first.probes.values()))
        several = self._lib.llama_token_data_array(data=probes, size=size, selected=-1, sorted=False)
        self._lib.llama_sampler_apply(self._grammar, ctypes.byref(several))
        tokens = array.array("i", sorted(self._named)) + first.others
        for byte, probe in zip(first.probes, probes, strict=True):
            if probe.logit != -math.inf:
                tokens.extend(first.groups[byte])
        return tokens


def _only(candidates: Any, token: int, logit: float) -> None:
    candidates.data[0].id, candidates.data[0].logit = token, logit
    candidates.size, candidates.selected = 1, 0


def follow(guided: Guided, tokens: Sequence[int]) -> None:
    """Stand where the job stood that produced `tokens`. Raises BadRequest if they are not of this grammar."""
    for token in tokens:
        if not guided.accept(token):
            raise BadRequest("produced: these tokens do not follow the job's grammar", param="produced")
