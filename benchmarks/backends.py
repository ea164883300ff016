"""The two backends on the same weights: how many greedy beginnings agree, and tokens a second.

    python scripts/gguf_to_onnx.py MODEL.gguf FOLDER
    python -m benchmarks.backends MODEL.gguf FOLDER

Run it on an idle board.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.__main__ import machine
from benchmarks.table import Row, markdown
from mongarsd.ground.clock import SystemClock
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
PAIRS = 5


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


def rate(engine: Generator, streams: int) -> float:
    """Tokens a second, prefill of the short prompts included."""
    begin = time.monotonic()
    answers(engine, SUBJECTS[:streams], LONG)
    return streams * LONG / (time.monotonic() - begin)


def rows(engines: dict[str, Generator], streams: int) -> list[Row]:
    """Each of the others in turn with the first, so the noise of the machine hits all."""
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(PAIRS):
        for name, engine in engines.items():
            rates[name].append(rate(engine, streams))
    first, *others = engines
    what = f"{streams} stream{'s' if streams > 1 else ''}"
    return [Row(f"{what}, {name}", "t/s", rates[name], rates[first], "higher", 1.0) for name in others]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare llama.cpp and onnxruntime on the same weights.")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("onnx", type=Path, nargs="+", help="folders that gguf_to_onnx.py has made")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    loads = {"llama.cpp": load(given.gguf, given.threads)}
    for folder in given.onnx:
        loads[folder.name] = load(folder / "model.onnx", given.threads, folder)
    engines = {name: generator(open_backend(one), one, lambda: None, SystemClock()) for name, one in loads.items()}
    beginnings = {name: answers(engine, SUBJECTS, FIRST) for name, engine in engines.items()}
    table = markdown([row for streams in (1, 4) for row in rows(engines, streams)])
    print(f"{machine()}; {given.threads} threads, {PAIRS} pairs\n")
    print(table.replace("mongarsd", "onnxruntime").replace("llama-server", "llama.cpp"))
    for name, beginning in beginnings.items():
        same = sum(beginnings["llama.cpp"][subject] == beginning[subject] for subject in SUBJECTS)
        print(f"{name}: the first {FIRST} tokens agree for {same} of {len(SUBJECTS)} prompts", flush=True)


if __name__ == "__main__":
    main()
