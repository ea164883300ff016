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
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Job
from mongarsd.ground.sampling import SAMPLER_ORDER, Sampling
from mongarsd.inference.engine.base import Sampled
from mongarsd.inference.llama.context import Context
from mongarsd.inference.llama.library import load_library
from mongarsd.inference.llama.logprobs import Logprobs
from mongarsd.inference.llama.tokens import Vocabulary

MAX_SAMPLERS = 32  # in one chain; llama.cpp has 9 to choose from
#: A lower one is this: logits divided by less leave the range of float32, and NaN has no order.
MIN_TEMPERATURE = 1e-6
MIN_REPEAT_PENALTY = 1e-3
MAX_BIAS = 1e6
MIROSTAT_M = 100  # llama.cpp's own constant: candidates used to estimate the exponent


class LlamaSampler:
    """`mongarsd.inference.engine.base.Sampler` over one chain. Build it with `open_sampler`."""

    def __init__(self, chain: Any, context: Context, logprobs: Logprobs, alternatives: int | None) -> None:
        self._lib = load_library()
        self._chain = chain
        self._context = context
        self._logprobs = logprobs
        self._alternatives = alternatives

    def accept(self, tokens: Sequence[int]) -> None:
        accept, chain = self._lib.llama_sampler_accept, self._open()
        for token in tokens:
            accept(chain, token)

    def sample(self, row: int) -> Sampled:
        index = self._context.output(row)
        token = self._lib.llama_sampler_sample(self._open(), self._context.handle, index)  # accepts it too
        if self._alternatives is None:
            return Sampled(token, None)
        return Sampled(token, self._logprobs.read(self._context, index, token, self._alternatives))

    def close(self) -> None:
        if self._chain:
            self._lib.llama_sampler_free(self._chain)
            self._chain = None

    def _open(self) -> Any:
        if not self._chain:
            raise ValueError("the sampler is closed")
        return self._chain


def open_sampler(
    job: Job, prompt: Sequence[int], context: Context, vocabulary: Vocabulary, logprobs: Logprobs
) -> LlamaSampler:
    """The job's chain, having seen `prompt` and `job.produced`. Raises BadRequest."""
    sampling = checked(job.sampling, vocabulary)
    chain = _Chain(sampling, context.length, vocabulary, len(job.produced)).build()
    sampler = LlamaSampler(chain, context, logprobs, job.logprobs)
    window = _window(sampling, context.length)
    if window:
        sampler.accept([*prompt, *job.produced][-window:])
    return sampler


def checked(sampling: Sampling, vocabulary: Vocabulary) -> Sampling:
    """The same if every value is of its type and in its range. Raises BadRequest with the field in `param`."""
    try:
        msgspec.convert(msgspec.structs.asdict(sampling), Sampling)  # its ranges exclude NaN and infinity
    except msgspec.ValidationError as error:
        field = str(error).partition("$.")[2].partition("[")[0].strip("`")
        raise BadRequest(str(error), param=field or None) from error
    if unknown := [name for name in sampling.samplers if name not in SAMPLER_ORDER]:
        raise BadRequest(f"no sampler is named {unknown[0]!r}: {', '.join(SAMPLER_ORDER)} are", param="samplers")
    if len(sampling.samplers) > MAX_SAMPLERS:
        raise BadRequest(f"{len(sampling.samplers)} samplers: at most {MAX_SAMPLERS}", param="samplers")
    for token, bias in sampling.logit_bias:
        if not 0 <= token < vocabulary.size:
            raise BadRequest(f"token {token} is outside the vocabulary of {vocabulary.size}", param="logit_bias")
        if math.isnan(bias) or bias == math.inf:
            raise BadRequest(f"the bias of token {token} must be a number or -inf, not {bias}", param="logit_bias")
    return sampling


def _penalizes(sampling: Sampling) -> bool:
    shifts = sampling.repeat_penalty != 1.0 or sampling.frequency_penalty or sampling.presence_penalty
    return bool(shifts) and "penalties" in sampling.samplers


def _window(sampling: Sampling, context: int) -> int:
    """How many of the last tokens the chain can see: 0 if it has no memory at all, then nothing need be fed to it."""
    if sampling.mirostat and not sampling.greedy:
        return 0
    penalties = _last_n(sampling.repeat_last_n, context) if _penalizes(sampling) else 0
    dry = sampling.dry_multiplier and "dry" in sampling.samplers
    return max(penalties, _last_n(sampling.dry_penalty_last_n, context) if dry else 0)


def _last_n(wanted: int, context: int) -> int:
    return context if wanted < 0 else min(wanted, context)


class _Chain:
    def __init__(self, sampling: Sampling, context: int, vocabulary: Vocabulary, produced: int) -> None:
        self._lib = load_library()
        self._sampling = sampling
        self._context = context
        self._vocabulary = vocabulary
        self._produced = produced

    def build(self) -> Any:
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
            _last_n(s.repeat_last_n, self._context),
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
            _last_n(s.dry_penalty_last_n, self._context),
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
