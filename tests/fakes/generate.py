"""Runs one job alone on a backend, the way the engine would."""

from __future__ import annotations

from typing import Any

from mongarsd.ground.job import Job
from mongarsd.inference.engine.base import Backend, Row, Sampled
from mongarsd.inference.grammar.constraint import Constraint


def job(**fields: Any) -> Job:
    return Job(id="0" * 32, model="sha256:" + "0" * 64, **fields)


def generate(
    backend: Backend, job: Job, count: int, *, sequence: int = 0, constraint: Constraint | None = None
) -> list[Sampled]:
    """Up to `count` tokens after `job.produced`, without the end token."""
    prompt = backend.prompt(job).tokens
    sampler = backend.sampler(job, prompt, constraint)
    backend.trim(sequence, 0)
    tokens = [*prompt, *job.produced]
    backend.decode([Row(sequence, 0, tokens, True)])
    sampled: list[Sampled] = []
    while len(sampled) < count and not backend.is_end((choice := sampler.sample(0)).token):
        sampled.append(choice)
        backend.decode([Row(sequence, len(tokens), [choice.token], True)])
        tokens.append(choice.token)
    sampler.close()
    return sampled


def tokens(sampled: list[Sampled]) -> list[int]:
    return [choice.token for choice in sampled]
