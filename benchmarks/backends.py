"""The two backends on the same weights: how many greedy beginnings agree, and tokens a second.

    python scripts/gguf_to_onnx.py MODEL.gguf FOLDER
    python -m benchmarks.backends MODEL.gguf FOLDER

Run it on an idle board: each figure is one run.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from pathlib import Path

from mongarsd.ground.job import Delta, Failed, Job, Message
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.models.names import BESIDE
from mongarsd.inference.worker.backends import open_backend
from mongarsd.inference.worker.generator import Generator, generator
from mongarsd.inference.worker.protocol import Load

SUBJECTS = (
    "the moon", "a bicycle", "bread", "the sea", "a violin", "iron", "winter", "a library", "rice", "a lighthouse",
    "glass", "the heart", "a train", "honey", "chess", "a desert", "paper", "the wind", "an owl", "a bridge",
)  # fmt: skip
FIRST = 20  # tokens that must agree
LONG = 60  # tokens of a timed answer


def load(path: Path, threads: int, folder: Path | None = None) -> Load:
    files = {role: str(folder / name) for role, name in BESIDE.items() if (folder / name).exists()} if folder else {}
    return Load(
        model="m", path=str(path), node="n", slots=4, context=1024, decode_threads=threads, prefill_threads=threads,
        queue=64, max_gap=0.25, speculation=False, live_threads=False, files=files,
        backend="onnx" if folder else "llama",
    )  # fmt: skip


def answers(engine: Generator, subjects: Iterable[str], length: int) -> dict[str, list[int]]:
    """Greedy tokens by subject; all are asked at once."""
    said: dict[str, list[int]] = {}
    for subject in subjects:
        message = Message(role="user", content=f"Tell me about {subject} in a few sentences.")
        sampling = Sampling(temperature=0.0, ignore_eos=True)
        job = Job(id=subject, model="m", messages=(message,), max_tokens=length, sampling=sampling, cache_prompt=False)
        prompt = engine.prepare(job)
        if isinstance(prompt, Failed):
            raise SystemExit(prompt.error.message)
        engine.submit(job, prompt)
        said[subject] = []
    while engine.busy:
        for event in (*engine.admit(), *engine.step()):
            if isinstance(event, Delta):
                said[event.job] += event.tokens
    return said


def measure(name: str, given: Load) -> dict[str, list[int]]:
    """Prints a row of the table; returns the beginnings."""
    backend = open_backend(given)
    engine = generator(backend, given, lambda: None)
    beginnings = answers(engine, SUBJECTS, FIRST)
    rates = []
    for streams in (1, 4):
        begin = time.monotonic()
        answers(engine, SUBJECTS[:streams], LONG)
        rates.append(streams * LONG / (time.monotonic() - begin))
    print(f"| {name} | {rates[0]:.0f} | {rates[1]:.0f} |", flush=True)
    backend.close()
    return beginnings


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare llama.cpp and onnxruntime on the same weights.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("onnx", type=Path, nargs="+", help="folders that gguf_to_onnx.py has made")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as the pool starts its workers
    print("| backend | 1 stream, tokens/s | 4 streams, tokens/s |\n|---|---|---|")
    first = measure("llama.cpp", load(given.gguf, given.threads))
    for folder in given.onnx:
        other = measure(f"onnxruntime, {folder.name}", load(folder / "model.onnx", given.threads, folder))
        same = sum(first[subject] == other[subject] for subject in SUBJECTS)
        print(f"{folder.name}: the first {FIRST} tokens agree for {same} of {len(SUBJECTS)} prompts", flush=True)


if __name__ == "__main__":
    main()
