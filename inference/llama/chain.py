"""A job's sampler chain, entirely in C. Order and meaning are llama-server's (llama.cpp, common/sampling.cpp).

- The chain is: logit bias, the samplers in the order the job names them, and a draw from what is left.
- Temperature 0 is greedy: logit bias, penalties and DRY shift the logits, then the greatest wins. The filters cannot
  change that, so they are left out. (llama-server would let XTC and a dynamic temperature reach into it.)
- Mirostat replaces all samplers but the logit bias, penalties too.
- Penalties and DRY have seen the prompt's tail. Windows are cut to the context: a sequence never is longer.
- A resumed job goes on with the random numbers it would have had: the draw takes exactly one a token, so those of
  `produced` are skipped, and a seeded text is the same as without the interruption. XTC and mirostat keep state that
  tokens alone do not give back: there, the seed is mixed with len(produced), so that nothing is drawn twice.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

from mongarsd.ground.sampling import Sampling
from mongarsd.inference.llama.library import load_library
from mongarsd.inference.llama.tokens import Vocabulary

#: A lower one is this: logits divided by less leave the range of float32, and NaN has no order.
MIN_TEMPERATURE = 1e-6
MIN_REPEAT_PENALTY = 1e-3
MAX_BIAS = 1e6
MIROSTAT_M = 100  # llama.cpp's own constant: candidates used to estimate the exponent


class Chain:
    def __init__(self, sampling: Sampling, context: int, vocabulary: Vocabulary, produced: int) -> None:
        self._lib = load_library()
        self._sampling = sampling
        self._context = context
        self._vocabulary = vocabulary
        self._produced = produced

    def build(self) -> Any:
        """A native chain that the caller frees; it has accepted nothing yet."""
        lib = self._lib
        params = lib.llama_sampler_chain_default_params()
        params.no_perf = True
        chain = lib.llama_sampler_chain_init(params)
        for part in (self._bias(), *self._parts()):
            if part:
                lib.llama_sampler_chain_add(chain, part)  # which now owns it
        return chain

    def _parts(self) -> list[Any]:
        lib, sampling = self._lib, self._sampling
        if sampling.greedy:
            shifts = [self._makers()[name]() for name in sampling.samplers if name in ("penalties", "dry")]
            return [*shifts, lib.llama_sampler_init_greedy()]
        if sampling.mirostat:
            return [lib.llama_sampler_init_temp(self._temperature), self._mirostat()]
        makers = self._makers()
        return [*(makers[name]() for name in sampling.samplers), self._draw()]

    def _makers(self) -> dict[str, Callable[[], Any]]:
        lib, s = self._lib, self._sampling
        return {
            "penalties": self._penalties,
            "dry": self._dry,
            "top_n_sigma": lambda: lib.llama_sampler_init_top_n_sigma(s.top_n_sigma),
            "top_k": lambda: lib.llama_sampler_init_top_k(s.top_k),
            "typ_p": lambda: lib.llama_sampler_init_typical(s.typical_p, s.min_keep),
            "top_p": lambda: lib.llama_sampler_init_top_p(s.top_p, s.min_keep),
            "min_p": lambda: lib.llama_sampler_init_min_p(s.min_p, s.min_keep),
            "xtc": lambda: lib.llama_sampler_init_xtc(s.xtc_probability, s.xtc_threshold, s.min_keep, self._fresh_seed),
            "temperature": lambda: lib.llama_sampler_init_temp_ext(
                self._temperature, s.dynatemp_range, s.dynatemp_exponent
            ),
        }

    @property
    def _temperature(self) -> float:
        return max(self._sampling.temperature, MIN_TEMPERATURE)

    @property
    def _fresh_seed(self) -> int:
        return usable_seed(self._sampling.seed + 0x9E3779B1 * self._produced)  # the golden ratio spreads the counter

    def _penalties(self) -> Any:
        s = self._sampling
        return self._lib.llama_sampler_init_penalties(
            self._vocabulary.size,
            last_n(s.repeat_last_n, self._context),
            max(s.repeat_penalty, MIN_REPEAT_PENALTY),
            s.frequency_penalty,
            s.presence_penalty,
        )

    def _dry(self) -> Any:
        s = self._sampling
        breakers = [text.encode() for text in s.dry_sequence_breakers]
        return self._lib.llama_sampler_init_dry(
            self._vocabulary.handle,
            s.dry_multiplier,
            s.dry_base,
            s.dry_allowed_length,
            last_n(s.dry_penalty_last_n, self._context),
            (ctypes.c_char_p * len(breakers))(*breakers),
            len(breakers),
        )

    def _mirostat(self) -> Any:
        lib, s = self._lib, self._sampling
        if s.mirostat == 1:
            return lib.llama_sampler_init_mirostat(
                self._vocabulary.size, self._fresh_seed, s.mirostat_tau, s.mirostat_eta, MIROSTAT_M
            )
        return lib.llama_sampler_init_mirostat_v2(self._fresh_seed, s.mirostat_tau, s.mirostat_eta)

    def _draw(self) -> Any:
        """The final draw, its random numbers advanced by one for each token of `produced`."""
        lib = self._lib
        draw = lib.llama_sampler_init_dist(usable_seed(self._sampling.seed))
        if self._produced:
            alone = (lib.llama_token_data * 1)()  # one candidate: a number is drawn, nothing is computed
            candidates = lib.llama_token_data_array(data=alone, size=1, selected=-1, sorted=False)
            for _ in range(self._produced):
                lib.llama_sampler_apply(draw, ctypes.byref(candidates))
        return draw

    def _bias(self) -> Any:
        lib, vocabulary = self._lib, self._vocabulary
        biases = [
            (token, bias if bias == -math.inf else min(max(bias, -MAX_BIAS), MAX_BIAS))
            for token, bias in self._sampling.logit_bias
        ]
        ends = vocabulary.ends if self._sampling.ignore_eos else frozenset()
        biases += [(token, -math.inf) for token in sorted(vocabulary.suppressed | ends)]
        if not biases:
            return None
        array = (lib.llama_logit_bias * len(biases))(*biases)
        return lib.llama_sampler_init_logit_bias(vocabulary.size, len(biases), array)


def usable_seed(seed: int) -> int:
    """32 bits, and never 2**32 - 1: to llama.cpp that means "choose one yourself"."""
    return min(seed & 0xFFFFFFFF, 0xFFFFFFFE)


def last_n(wanted: int, context: int) -> int:
    """A window of llama.cpp's, where -1 is the whole context."""
    return context if wanted < 0 else min(wanted, context)
