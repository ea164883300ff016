"""What a request took, in OpenAI's and llama.cpp's words."""

from __future__ import annotations

from collections.abc import Sequence

from mongarsd.api.openai.answers import PromptDetails, TimingsObject, UsageObject
from mongarsd.ground.job import Finished


def usage(ends: Sequence[Finished], n: int) -> UsageObject:
    """`ends` of all jobs, `n` for each prompt. A prompt counts once, whatever its number of choices."""
    prompt = sum(end.usage.prompt for end in ends[::n])
    completion = sum(end.usage.completion for end in ends)
    cached = sum(end.usage.cached for end in ends[::n])
    return UsageObject(prompt, completion, prompt + completion, PromptDetails(cached))


def timings(end: Finished) -> TimingsObject:
    used, took = end.usage, end.timings
    computed = used.prompt - used.cached
    return TimingsObject(
        cache_n=used.cached,
        prompt_n=computed,
        prompt_ms=_ms(took.prefill),
        prompt_per_second=_rate(computed, took.prefill),
        predicted_n=used.completion,
        predicted_ms=_ms(took.decode),
        # The first token falls at the end of the prefill, so `decode` is the time of the others.
        predicted_per_second=_rate(used.completion - 1, took.decode),
        queue_ms=_ms(took.queue),
        draft_n=took.drafted,
        draft_n_accepted=took.accepted,
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _rate(tokens: int, seconds: float) -> float:
    return round(tokens / seconds, 3) if tokens > 0 and seconds > 0 else 0.0
