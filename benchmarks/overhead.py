"""How much of a step is not native code: `python -m benchmarks.overhead [--streams N] [--steps N]`.

The real engine on the real model in this process, without HTTP. Native is what `llama_decode`, `llama_synchronize` and
`llama_sampler_sample` take; all else is ours: scheduling, filling batches, text, events.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.__main__ import default_model, machine
from benchmarks.prompts import prompt
from benchmarks.speculation import load
from benchmarks.streams import SHORT
from mongarsd.ground.clock import SystemClock
from mongarsd.ground.job import Failed, Job, Message
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.engine.loop import Engine, prepare
from mongarsd.inference.engine.scheduler import Scheduler
from mongarsd.inference.llama import library
from mongarsd.inference.llama.backend import LlamaBackend

NATIVE = ("llama_decode", "llama_synchronize", "llama_sampler_sample")
GROUP = 20  # steps a figure


class Stopwatch:
    """Seconds spent in the functions it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            begin = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.perf_counter() - begin

        return timed


def shares(path: Path, *, streams: int, steps: int, threads: int) -> list[float]:
    """Of each group of steps, the share that was not native."""
    watch, native = Stopwatch(), library.load_library()
    for name in NATIVE:
        setattr(native, name, watch.wrap(getattr(native, name)))
    backend = LlamaBackend(load(path, slots=streams, threads=threads))
    scheduler = Scheduler(slots=streams, context=backend.info.context, queue=streams, max_gap=0.35, batch=2048)
    engine = Engine(backend, scheduler, SystemClock(), "here")
    for number in range(streams):
        messages = tuple(Message(role=m["role"], content=m["content"]) for m in prompt(SHORT))
        sampling = Sampling(temperature=0.0, ignore_eos=True)
        job = Job(id=str(number), model="m", messages=messages, max_tokens=steps + 10, sampling=sampling)
        ready = prepare(backend, job)
        assert not isinstance(ready, Failed)
        engine.submit(job, ready)
    while sum(sequence.decoding for sequence in scheduler.running.values()) < streams:
        engine.admit()
        engine.step()
    figures = []
    for _ in range(steps // GROUP):
        watch.seconds, begin = 0.0, time.perf_counter()
        for _ in range(GROUP):
            engine.admit()
            engine.step()
        figures.append(1 - watch.seconds / (time.perf_counter() - begin))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state-dir", type=Path, default=Path(".cache/state"))
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 4))
    options = parser.parse_args()
    model = default_model(options.state_dir)
    figures = shares(model, streams=options.streams, steps=options.steps, threads=options.threads)
    median, least, most = (100 * f for f in (statistics.median(figures), min(figures), max(figures)))
    print(f"{machine()}; {options.streams} streams: {median:.1f} % of a step ({least:.1f} to {most:.1f}) is not native")


if __name__ == "__main__":
    main()
