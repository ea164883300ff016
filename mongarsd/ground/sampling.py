"""How the next token is chosen: OpenAI's and llama.cpp's parameters under llama.cpp's names and ranges."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Probability = Annotated[float, Meta(ge=0.0, le=1.0)]

#: llama.cpp's own order (common/common.h, `samplers`); a request may name another.
SAMPLER_ORDER = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")


class Sampling(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """One sequence's sampler chain. `seed` is always concrete, so a resumed job can go on."""

    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    temperature: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.8
    dynatemp_range: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.0
    dynatemp_exponent: Annotated[float, Meta(ge=0.0, le=100.0)] = 1.0
    top_k: Annotated[int, Meta(ge=-1, le=1_000_000)] = 40  # 0 or -1 = off
    top_p: Probability = 0.95
    min_p: Probability = 0.05
    typical_p: Probability = 1.0
    top_n_sigma: Annotated[float, Meta(ge=-1.0, le=100.0)] = -1.0  # -1 = off
    xtc_probability: Probability = 0.0
    xtc_threshold: Probability = 0.1
    min_keep: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    repeat_penalty: Annotated[float, Meta(gt=0.0, le=10.0)] = 1.0
    repeat_last_n: Annotated[int, Meta(ge=-1, le=1_000_000)] = 64  # -1 = the whole context
    frequency_penalty: Annotated[float, Meta(ge=-2.0, le=2.0)] = 0.0
    presence_penalty: Annotated[float, Meta(ge=-2.0, le=2.0)] = 0.0
    dry_multiplier: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.0
    dry_base: Annotated[float, Meta(ge=1.0, le=100.0)] = 1.75
    dry_allowed_length: Annotated[int, Meta(ge=0, le=1_000_000)] = 2
    dry_penalty_last_n: Annotated[int, Meta(ge=-1, le=1_000_000)] = -1  # -1 = the whole context
    dry_sequence_breakers: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=16)
    ] = ("\n", ":", '"', "*")
    mirostat: Annotated[int, Meta(ge=0, le=2)] = 0
    mirostat_tau: Annotated[float, Meta(ge=0.0, le=100.0)] = 5.0
    mirostat_eta: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.1
    logit_bias: Annotated[tuple[tuple[int, float], ...], Meta(max_length=1024)] = ()  # (token, bias)
    ignore_eos: bool = False
    samplers: tuple[str, ...] = SAMPLER_ORDER

    @property
    def greedy(self) -> bool:
        """Temperature 0: the most likely token, whatever the other settings filter."""
        return self.temperature == 0.0
