"""A job's sampler in numpy: llama.cpp's samplers, their order and their meaning (src/llama-sampler.cpp).

- Logit bias first, then the samplers in the order the job names them, then a draw from what is left.
- Temperature 0 is greedy: logit bias and penalties shift the logits, then the greatest wins.
- Each draw takes exactly one random number, so a resumed job goes on with those it would have had.
- A grammar takes out what does not fit after the filters, right before the draw (`guided.py`).
- DRY and mirostat are not there: a job that asks for them is told so.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mongarsd.ground.job import Job, TokenLogprob
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.engine.base import Sampled
from mongarsd.inference.onnx.guided import FEW, Guided
from mongarsd.inference.onnx.vocabulary import HubVocabulary

#: A lower one is this: logits divided by less leave the range of float32.
MIN_TEMPERATURE = 1e-6
#: XTC draws from a stream of its own, so that switching it on changes no other number.
XTC_STREAM = 1

Array = np.ndarray[Any, Any]
#: (row, output) -> logits of the last step, not to be written to
Outputs = Callable[[int, int], Array]


class Candidates:
    """What the filters have left: tokens and their logits."""

    def __init__(self, logits: Array) -> None:
        self.tokens: Array | None = None  # None = all
        self.logits = logits

    def keep(self, places: Array) -> None:
        self.tokens = places if self.tokens is None else self.tokens[places]
        self.logits = self.logits[places]

    def sort(self) -> Array:
        """Best first; returns their probabilities."""
        self.keep(np.argsort(-self.logits, kind="stable"))
        return softmax(self.logits)


class NumpySampler:
    """`mongarsd.inference.engine.base.Sampler`."""

    def __init__(
        self,
        job: Job,
        prompt: Sequence[int],
        context: int,
        vocabulary: HubVocabulary,
        outputs: Outputs,
        guided: Guided | None = None,
    ) -> None:
        """It has seen `prompt` and `job.produced`, and so has `guided`. The job was checked."""
        sampling = self._sampling = job.sampling
        self._guided = guided
        self._alternatives, self._vocabulary, self._outputs = job.logprobs, vocabulary, outputs
        window = context if sampling.repeat_last_n < 0 else min(sampling.repeat_last_n, context)
        self._window: deque[int] = deque([*prompt, *job.produced][-window:] if window else (), maxlen=window)
        self._counts = Counter(self._window)
        self._bias = self._biases()
        self._draw, self._xtc = (
            np.random.Generator(np.random.PCG64([sampling.seed, stream]).advance(len(job.produced)))
            for stream in (0, XTC_STREAM)
        )
        self._luck = 1.0  # of the token to come, whether XTC asks for it or not
        #: Ends an answer whose grammar leaves nothing: no token fits, or a bias forbids the ones that do.
        self._end = min(vocabulary.ends, default=0)
        self._filters: dict[str, Callable[[Candidates], None]] = {
            "penalties": self._penalize,
            "dry": _nothing,
            "top_n_sigma": self._top_n_sigma,
            "top_k": self._top_k,
            "typ_p": self._typical,
            "top_p": self._top_p,
            "min_p": self._min_p,
            "xtc": self._exclude,
            "temperature": self._heat,
        }

    def sample(self, row: int, output: int = 0) -> Sampled:
        raw = self._outputs(row, output)[: self._vocabulary.size]
        token = self._choose(raw.astype(np.float32))
        self._accept(token)
        return Sampled(token, None if self._alternatives is None else self._logprob(raw, token, self._alternatives))

    def close(self) -> None:
        self._guided = None

    def _choose(self, logits: Array) -> int:
        tokens, shifts = self._bias
        logits[tokens] += shifts
        guided = self._guided if self._guided and self._guided.active else None
        if guided:
            guided.begin()
        if self._sampling.greedy:
            return self._likeliest(logits, guided)
        self._luck = self._xtc.random()
        left = Candidates(logits.copy() if guided else logits)
        self._filter(left)
        if guided:
            fitting = self._fitting(left, logits, guided)
            if fitting is None:
                return self._end
            left = fitting
        weights = softmax(left.logits).cumsum(dtype=np.float64)
        place = min(int(np.searchsorted(weights, self._draw.random() * weights[-1], side="right")), len(weights) - 1)
        return place if left.tokens is None else int(left.tokens[place])

    def _likeliest(self, logits: Array, guided: Guided | None) -> int:
        if "penalties" in self._sampling.samplers:
            self._penalize(Candidates(logits))
        token = int(logits.argmax())
        if guided and not (logits[token] > -math.inf and guided.fits(token)):
            best = guided.best(logits, 1)
            return int(best[0]) if len(best) else self._end
        return token

    def _filter(self, left: Candidates) -> None:
        for name in self._sampling.samplers:
            self._filters[name](left)

    def _fitting(self, left: Candidates, logits: Array, guided: Guided) -> Candidates | None:
        """What of the few that the filters left fits; if nothing does, what the filters leave of all that fits."""
        if left.tokens is not None and len(left.tokens) <= FEW:
            possible = zip(left.tokens.tolist(), left.logits.tolist(), strict=True)
            fits = [logit > -math.inf and guided.fits(token) for token, logit in possible]
            if any(fits):
                left.keep(np.flatnonzero(fits))
                return left
        left = Candidates(logits)
        left.keep(guided.best(logits, FEW))
        if not len(left.logits):
            return None
        self._filter(left)
        return left

    def _accept(self, token: int) -> None:
        if self._guided:
            self._guided.accept(token)
        if not self._window.maxlen:
            return
        if len(self._window) == self._window.maxlen:
            self._counts[self._window[0]] -= 1
        self._window.append(token)
        self._counts[token] += 1

    def _logprob(self, raw: Array, token: int, alternatives: int) -> TokenLogprob:
        logits = raw.astype(np.float64)
        normalizer = float(logits.max() + np.log(np.exp(logits - logits.max()).sum()))
        best: Sequence[int] = ()
        if alternatives:
            some = np.argpartition(-logits, min(alternatives, len(logits)) - 1)[:alternatives]
            best = [int(place) for place in some[np.argsort(-logits[some], kind="stable")]]
        piece = self._vocabulary.piece
        top = tuple((place, piece(place), float(logits[place]) - normalizer) for place in best)
        return TokenLogprob(token, piece(token), float(logits[token]) - normalizer, top)

    def _biases(self) -> tuple[Array, Array]:
        sampling, vocabulary = self._sampling, self._vocabulary
        banned = vocabulary.suppressed | (vocabulary.ends if sampling.ignore_eos else frozenset())
        shifts = dict.fromkeys(banned, -math.inf)
        for token, bias in sampling.logit_bias:
            shifts[token] = shifts.get(token, 0.0) + bias
        return np.array(list(shifts), np.int64), np.array(list(shifts.values()), np.float32)

    # -- the samplers

    def _penalize(self, left: Candidates) -> None:
        s = self._sampling
        if s.repeat_penalty == 1.0 and not s.frequency_penalty and not s.presence_penalty:
            return
        seen = np.array([token for token, count in self._counts.items() if count > 0], np.int64)
        counts = np.array([count for count in self._counts.values() if count > 0], np.float32)
        if left.tokens is None:
            places = seen
        else:
            _, places, which = np.intersect1d(left.tokens, seen, assume_unique=True, return_indices=True)
            counts = counts[which]
        logits = left.logits[places]
        logits = np.where(logits <= 0, logits * s.repeat_penalty, logits / s.repeat_penalty)
        left.logits[places] = logits - counts * s.frequency_penalty - s.presence_penalty

    def _top_n_sigma(self, left: Candidates) -> None:
        n = self._sampling.top_n_sigma
        if n > 0 and len(left.logits) > 1:
            finite = left.logits[np.isfinite(left.logits)]
            left.keep(np.flatnonzero(left.logits >= finite.max() - n * finite.std()))

    def _top_k(self, left: Candidates) -> None:
        k = self._sampling.top_k
        if 0 < k < len(left.logits):
            left.keep(np.sort(np.argpartition(-left.logits, k - 1)[:k]))

    def _typical(self, left: Candidates) -> None:
        s = self._sampling
        if s.typical_p < 1.0:
            chances = softmax(left.logits)
            surprise = -np.log(np.maximum(chances, 1e-38))
            order = np.argsort(np.abs(surprise - (chances * surprise).sum()), kind="stable")
            count = int(np.searchsorted(chances[order].cumsum(), s.typical_p, side="right")) + 1
            left.keep(order[: max(count, s.min_keep)])

    def _top_p(self, left: Candidates) -> None:
        s = self._sampling
        if s.top_p < 1.0:
            count = int(np.searchsorted(left.sort().cumsum(), s.top_p, side="left")) + 1
            left.keep(np.arange(min(max(count, s.min_keep), len(left.logits))))

    def _min_p(self, left: Candidates) -> None:
        s = self._sampling
        if s.min_p > 0.0:
            kept = np.flatnonzero(left.logits >= left.logits.max() + math.log(s.min_p))
            if len(kept) < s.min_keep:
                kept = np.argsort(-left.logits, kind="stable")[: s.min_keep]
            left.keep(kept)

    def _exclude(self, left: Candidates) -> None:
        """XTC: now and then, all but the least likely of the likely tokens go."""
        s = self._sampling
        if s.xtc_probability <= 0.0 or s.xtc_threshold > 0.5 or len(left.logits) < 2:
            return
        if self._luck <= s.xtc_probability:
            likely = int((left.sort() >= s.xtc_threshold).sum())
            if likely > 1 and len(left.logits) - likely + 1 >= s.min_keep:
                left.keep(np.arange(likely - 1, len(left.logits)))

    def _heat(self, left: Candidates) -> None:
        s = self._sampling
        temperature = s.temperature
        if s.dynatemp_range > 0.0 and len(left.logits) > 1:
            chances = softmax(left.logits)
            entropy = -(chances * np.log(np.maximum(chances, 1e-38))).sum() / math.log(len(chances))
            least = max(0.0, temperature - s.dynatemp_range)
            temperature = least + (temperature + s.dynatemp_range - least) * float(entropy) ** s.dynatemp_exponent
        left.logits = left.logits / max(temperature, MIN_TEMPERATURE)


def softmax(logits: Array) -> Array:
    weights = np.exp(logits - logits.max())
    chances: Array = weights / weights.sum()
    return chances


def _nothing(left: Candidates) -> None:
    """A sampler whose settings were refused unless they are off."""


def supported(sampling: Sampling) -> str | None:
    """The first setting that is not there, or None."""
    if sampling.mirostat:
        return "mirostat"
    if sampling.dry_multiplier and "dry" in sampling.samplers:
        return "dry_multiplier"
    return None
