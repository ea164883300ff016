"""Log-probabilities before sampling, computed by llama.cpp's own samplers over a candidate array of ours.

49,000 candidates in pure Python would cost 15 ms and more a token. Here Python only says what to copy: the logits go
into the array in one strided copy, `dist` gives the softmax, `top_k` the best.
"""

from __future__ import annotations

import array
import ctypes
import math
from typing import Any

from mongarsd.ground.job import MAX_TOP_LOGPROBS, TokenLogprob
from mongarsd.inference.llama.context import Context
from mongarsd.inference.llama.library import load_library
from mongarsd.inference.llama.tokens import Vocabulary


class Logprobs:
    """Shared by all samplers of a backend. Allocates 24 bytes a token of the vocabulary when first used."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._lib = load_library()
        self._softmax: Any = None

    def _prepare(self) -> None:
        lib, size = self._lib, self._vocabulary.size
        fields = 3  # llama_token_data: id, logit, p; four bytes each
        self._fresh = (lib.llama_token_data * size)()
        memoryview(self._fresh).cast("B").cast("i")[::fields] = memoryview(array.array("i", range(size)))
        self._candidates = (lib.llama_token_data * size)()
        self._logits = memoryview(self._candidates).cast("B").cast("f")[1::fields]
        self._row = ctypes.c_float * size
        self._best = [lib.llama_sampler_init_top_k(k) for k in range(1, MAX_TOP_LOGPROBS + 1)]
        self._softmax = lib.llama_sampler_init_dist(0)

    def read(self, context: Context, index: int, token: int, alternatives: int) -> TokenLogprob:
        """For `token` and the `alternatives` best tokens, from output `index` of the context's last step."""
        if not self._softmax:
            self._prepare()
        lib, size, piece = self._lib, self._vocabulary.size, self._vocabulary.piece
        address = ctypes.addressof(lib.llama_get_logits_ith(context.handle, index).contents)
        logits = memoryview(self._row.from_address(address)).cast("B").cast("f")
        ctypes.memmove(self._candidates, self._fresh, ctypes.sizeof(self._fresh))
        self._logits[:] = logits
        candidates = lib.llama_token_data_array(data=self._candidates, size=size, selected=-1, sorted=False)
        lib.llama_sampler_apply(self._softmax, ctypes.byref(candidates))
        lib.llama_sampler_apply(self._best[max(alternatives, 1) - 1], ctypes.byref(candidates))
        first = candidates.data[0]
        # The best candidate's p is at least 1/size, so this is exact where log(p) of a rare token would underflow.
        normalizer = first.logit - math.log(first.p)
        top = [(c.id, piece(c.id), c.logit - normalizer) for c in candidates.data[: min(alternatives, size)]]
        return TokenLogprob(token, piece(token), logits[token] - normalizer, tuple(top))

    def close(self) -> None:
        if self._softmax:
            for sampler in (self._softmax, *self._best):
                self._lib.llama_sampler_free(sampler)
            self._softmax, self._best = None, []
