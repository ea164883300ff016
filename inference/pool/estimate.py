"""When a job would start and end on this board, from the worker's latest pulse. Pure."""

from __future__ import annotations

from msgspec import Struct

from mongarsd.ground.executor import Estimate
from mongarsd.ground.job import Job
from mongarsd.inference.worker.protocol import Pulse

#: Characters a token, English text in the vocabularies of SmolLM2, Llama and Qwen.
CHARS_PER_TOKEN = 4.0
#: Tokens the chat template adds to each message.
TOKENS_PER_MESSAGE = 5
#: Tokens of an answer whose length nobody has bounded tightly.
EXPECTED_ANSWER = 256
#: Until measured, a Pi 5: decode reads all weights a token at 10.2 GB/s; prefill 70e9 parameters a second, which at
#: Q4_0's 4.5 bits a weight is 39e9 bytes of weights.
DECODE_BYTES_PER_SECOND = 10.2e9
PREFILL_BYTES_PER_SECOND = 39e9
#: Until measured: a microSD card reads 80 MB/s, an interpreter and a native library start in half a second.
LOAD_BYTES_PER_SECOND = 80e6
START_SECONDS = 0.5


class Situation(Struct, frozen=True, kw_only=True):
    """What is known of the model's worker. `pulse` is None until it is ready."""

    size: int  # bytes of weights
    slots: int
    jobs: int  # in the pool's hands, running or waiting
    wait: float  # seconds until the worker is ready; 0 = it is
    pulse: Pulse | None


def prompt_tokens(job: Job) -> int:
    """An estimate without the tokenizer, which lives in the worker."""
    if job.tokens is not None:
        return len(job.tokens)
    if job.embed is not None:
        return int(sum(map(len, job.embed)) / CHARS_PER_TOKEN) + 2 * len(job.embed)
    if job.rerank is not None:
        query, documents = len(job.rerank.query), job.rerank.documents
        return int((sum(map(len, documents)) + query * len(documents)) / CHARS_PER_TOKEN) + 4 * len(documents)
    if job.text is not None:
        return int((len(job.text) + len(job.suffix or "")) / CHARS_PER_TOKEN) + 1
    messages = job.messages or ()
    return int(sum(len(m.content) for m in messages) / CHARS_PER_TOKEN) + TOKENS_PER_MESSAGE * (len(messages) + 1)


def load_seconds(size: int) -> float:
    return START_SECONDS + size / LOAD_BYTES_PER_SECOND


def estimate(job: Job, now: Situation) -> Estimate:
    pulse = now.pulse
    prefill_rate = (pulse and pulse.prefill_rate) or PREFILL_BYTES_PER_SECOND / max(now.size, 1)
    decode_rate = (pulse and pulse.decode_rate) or DECODE_BYTES_PER_SECOND / max(now.size, 1)
    prompt = prompt_tokens(job) + len(job.produced)
    answer = EXPECTED_ANSWER if job.embed is None and job.rerank is None else 0
    if job.max_tokens is not None:
        answer = max(0, min(answer, job.max_tokens - len(job.produced)))

    # Jobs handed over since the pulse are not in its backlog yet: each counts as much as this one.
    known = pulse.busy_slots + pulse.queued if pulse else 0
    unseen = max(0, now.jobs - known)
    backlog_prefill = (pulse.backlog_prefill if pulse else 0) + unseen * prompt
    backlog_decode = (pulse.backlog_decode if pulse else 0) + unseen * answer
    work = backlog_prefill / prefill_rate + backlog_decode / decode_rate

    ahead = max(now.jobs, known)
    ends = max(0, ahead + 1 - now.slots)
    # With `ahead` jobs ending evenly over the time their work takes, the `ends`-th of them frees our slot.
    queue = work * ends / ahead if ends else 0.0
    prefill = (prompt + (0 if ends else backlog_prefill)) / prefill_rate
    # A running stream gets one token a step, whatever the others do.
    token = pulse.step if pulse and pulse.step else min(ahead + 1, now.slots) / decode_rate
    first = now.wait + queue + prefill
    why = _why(now, f"{ends} jobs must end first, in about {queue:.1f} s" if ends else "", prefill_rate)
    return Estimate(first, first + answer * token, why, max(0, ahead - now.slots))


def _why(now: Situation, queue: str, prefill_rate: float) -> str:
    parts = [f"loading takes about {now.wait:.1f} s"] if now.wait else []
    parts.append(queue or f"{now.jobs} of {now.slots} slots are taken")
    measured = "measured" if now.pulse and now.pulse.prefill_rate else "assumed"
    return "; ".join([*parts, f"prompts at {prefill_rate:.0f} tokens/s ({measured})"])
