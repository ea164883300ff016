"""A job's sampler: its values checked, its chain built and fed, its choices made. The chain itself: `chain.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mongarsd.ground.errors import BadRequest
from mongarsd.ground.job import Job
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.engine.base import Sampled
from mongarsd.inference.engine.checks import checked
from mongarsd.inference.grammar.constraint import Constraint
from mongarsd.inference.llama.chain import Chain, last_n
from mongarsd.inference.llama.context import Context
from mongarsd.inference.llama.guided import Guided, follow
from mongarsd.inference.llama.library import load_library
from mongarsd.inference.llama.logprobs import Logprobs
from mongarsd.inference.llama.tokens import Vocabulary


class LlamaSampler:
    """`mongarsd.inference.engine.base.Sampler` over one chain. Build it with `open_sampler`."""

    def __init__(
        self, chain: Any, context: Context, logprobs: Logprobs, alternatives: int | None, guided: Guided | None = None
    ) -> None:
        self._lib = load_library()
        self._chain = chain
        self._guided = guided
        self._context = context
        self._logprobs = logprobs
        self._alternatives = alternatives

    def accept(self, tokens: Sequence[int]) -> None:
        accept, chain = self._lib.llama_sampler_accept, self._open()
        for token in tokens:
            accept(chain, token)

    def sample(self, row: int, output: int = 0) -> Sampled:
        index = self._context.output(row, output)
        if self._guided:
            self._guided.begin(self._lib.llama_get_logits_ith(self._context.handle, index))
        token = self._lib.llama_sampler_sample(self._open(), self._context.handle, index)  # accepts it too
        if self._guided:
            self._guided.accept(token)
        if self._alternatives is None:
            return Sampled(token, None)
        return Sampled(token, self._logprobs.read(self._context, index, token, self._alternatives))

    def close(self) -> None:
        if self._chain:
            self._lib.llama_sampler_free(self._chain)
            self._chain = None
            if self._guided:
                self._guided.close()

    def _open(self) -> Any:
        if not self._chain:
            raise ValueError("the sampler is closed")
        return self._chain


def open_sampler(
    job: Job,
    prompt: Sequence[int],
    context: Context,
    vocabulary: Vocabulary,
    logprobs: Logprobs,
    constraint: Constraint | None = None,
) -> LlamaSampler:
    """The job's chain, having seen `prompt` and `job.produced`. Raises BadRequest."""
    sampling = checked(job.sampling, vocabulary.size)
    chain = Chain(sampling, context.length, vocabulary, len(job.produced)).build()
    guided = None
    if constraint:
        try:
            guided = Guided(constraint, chain, vocabulary, greedy=sampling.greedy)
            follow(guided, job.produced)
        except BadRequest:
            load_library().llama_sampler_free(chain)
            if guided:
                guided.close()
            raise
    sampler = LlamaSampler(chain, context, logprobs, job.logprobs, guided)
    window = _window(sampling, context.length)
    if window:
        sampler.accept([*prompt, *job.produced][-window:])
    return sampler


def _penalizes(sampling: Sampling) -> bool:
    shifts = sampling.repeat_penalty != 1.0 or sampling.frequency_penalty or sampling.presence_penalty
    return bool(shifts) and "penalties" in sampling.samplers


def _window(sampling: Sampling, context: int) -> int:
    """How many of the last tokens the chain can see: 0 if it has no memory at all, then nothing need be fed to it."""
    if sampling.mirostat and not sampling.greedy:
        return 0
    penalties = last_n(sampling.repeat_last_n, context) if _penalizes(sampling) else 0
    dry = sampling.dry_multiplier and "dry" in sampling.samplers
    return max(penalties, last_n(sampling.dry_penalty_last_n, context) if dry else 0)
