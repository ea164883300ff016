"""The engine with its tiers over real tiny models that cannot be cut: the same greedy text however it is resumed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fakes.engine import job
from fakes.tiny_uncut import KINDS, write_uncut

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.job import Delta, Event, Finished, Job, Started
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.engine.base import BLOCK
from mongarsd.inference.llama.backend import LlamaBackend
from mongarsd.inference.worker.generator import Generator, generator
from mongarsd.inference.worker.protocol import CachePlan, Load

TEXT = "once upon a time there was a very long prompt " * 6  # 276 bytes, 4 blocks
FREE = Sampling(temperature=0.0, ignore_eos=True)
MIB = 1 << 20


def open_engine(path: Path, folder: Path, *, cached: bool = True) -> tuple[Generator, LlamaBackend]:
    plan = CachePlan(directory=str(folder), ram=MIB, disk=MIB, disk_writes_per_day=MIB) if cached else CachePlan()
    load = Load(
        model="m", path=str(path), node="n", slots=1, context=512, decode_threads=1, prefill_threads=1, queue=4,
        max_gap=1.0, cache=plan, speculation=False,
    )  # fmt: skip
    backend = LlamaBackend(load)
    return generator(backend, load, lambda: None, FakeClock()), backend  # no step is ever too slow for a tile


def run(engine: Generator, one: Job) -> tuple[tuple[int, ...], int]:
    """(tokens it said, tokens that were cached)"""
    prompt = engine.prepare(one)
    assert isinstance(prompt, tuple)
    engine.submit(one, prompt)
    events: list[Event] = []
    limit = time.monotonic() + 30
    while not any(isinstance(event, Finished) for event in events) and time.monotonic() < limit:
        events += [*engine.admit(), *engine.step()]
    said = tuple(token for event in events if isinstance(event, Delta) for token in event.tokens)
    return said, next(event.cached for event in events if isinstance(event, Started))


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_text_is_the_same_from_ram_from_disk_and_after_a_kill(tmp_path: Path, kind: str) -> None:
    path = write_uncut(tmp_path / "tiny.gguf", kind)
    asked = job("first", TEXT, max_tokens=24, sampling=FREE)
    plain, backend = open_engine(path, tmp_path, cached=False)
    whole, cached = run(plain, asked)
    assert (len(whole), cached) == (24, 0)
    backend.close()

    first, backend = open_engine(path, tmp_path / "cache")
    assert run(first, asked) == (whole, 0)
    run(first, job("other", "something else " * 20, max_tokens=4, sampling=FREE))
    again, cached = run(first, job("again", TEXT, max_tokens=24, sampling=FREE))
    assert (again, cached) == (whole, 4 * BLOCK)
    first.close()
    backend.close()

    second, backend = open_engine(path, tmp_path / "cache")
    rest, cached = run(second, asked.resume(whole[:10]))
    assert (whole[:10] + rest, cached) == (whole, 4 * BLOCK)
    tokens = (*backend.prompt(asked).tokens, *whole)
    assert second.pulse().cache.misses == 0
    assert (
        run(second, Job(id="on", model="m", tokens=(*tokens, 1, 2, 3), max_tokens=2, sampling=FREE))[1]
        >= len(tokens) - 1
    )
    second.close()
    backend.close()
