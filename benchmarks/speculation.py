"""Drafts by prompt lookup at one stream: answers that quote or edit their prompt, and answers that do not.

    python -m benchmarks.speculation [--pairs N]

Both sides run in this process on the same loaded model, in turn: nothing but the drafts differs.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from pathlib import Path

from benchmarks.__main__ import default_model, machine
from benchmarks.table import Row, markdown
from mongarsd.ground.clock import SystemClock
from mongarsd.ground.job import Delta, Failed, Job, Message
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.engine.loop import Engine, prepare
from mongarsd.inference.engine.scheduler import Scheduler
from mongarsd.inference.engine.speculation import Speculation
from mongarsd.inference.llama.backend import LlamaBackend
from mongarsd.inference.worker.protocol import Load

CONTEXT = 1024
TOKENS = 120
NOTE = (
    "The lighthouse at Cape Wren was built in 1871 by a crew of forty masons. Its lamp burned whale oil for eleven "
    "years, then paraffin, and was made electric in 1926. The keeper, Thomas Hale, wrote the weather into a green "
    "book every evening. In the winter of 1894 a ship named Aurora ran onto the rocks below; all nineteen sailors "
    "were saved by a rope that Hale threw from the gallery. The village still keeps the rope beside the church."
)
FILE = """[server]
host = "lighthouse.local"
port = 8080
workers = 4
timeout = 30
log_level = "info"

[database]
path = "/var/lib/lighthouse/main.db"
pool = 5
journal = "wal"

[mail]
sender = "keeper@lighthouse.local"
retries = 3
"""
#: What a model of 135M really copies is a file; a text it retells, however it is asked.
PROMPTS = {
    "quoting a file": (f"Print this file again without any change:\n\n```\n{FILE}```", 1.3),
    "editing a file": (f"Change the port to 9090 and print the whole file again:\n\n{FILE}", 1.3),
    "retelling a note": (f"Repeat this text exactly, word for word:\n\n{NOTE}", 0.98),
    "a story": ("Write a story about a baker who finds a map.", 0.98),
    "an explanation": ("Explain in detail how bread rises, and why salt matters.", 0.98),
}
_numbers = itertools.count(1)


def load(model: Path, *, slots: int, threads: int) -> Load:
    return Load(
        model="sha256:" + "0" * 64,
        path=str(model),
        node="here",
        slots=slots,
        context=CONTEXT,
        decode_threads=threads,
        prefill_threads=threads,
        queue=slots,
        max_gap=0.35,
    )


def speed(backend: LlamaBackend, text: str, speculation: Speculation | None) -> float:
    """Tokens a second after the first one."""
    scheduler = Scheduler(slots=1, context=CONTEXT, queue=1, max_gap=0.35, batch=2048, speculation=speculation)
    engine = Engine(backend, scheduler, SystemClock(), "here")
    job = Job(
        id=str(next(_numbers)),
        model="m",
        messages=(Message(role="user", content=text),),
        max_tokens=TOKENS,
        sampling=Sampling(temperature=0.0),
        cache_prompt=False,
    )
    prompt = prepare(backend, job)
    if isinstance(prompt, Failed):
        raise RuntimeError(prompt.error.message)
    engine.submit(job, prompt)
    tokens, begin, end = 0, 0.0, 0.0
    while engine.busy:
        for event in (*engine.admit(), *engine.step()):
            if isinstance(event, Delta):
                end = time.perf_counter()
                begin = begin or end
                tokens += len(event.tokens)
    return (tokens - 1) / (end - begin)


def measure(backend: LlamaBackend, pairs: int) -> list[Row]:
    rows = []
    for name, (text, target) in PROMPTS.items():
        speculation = Speculation()  # as in a worker: what steps cost is learned once
        figures: dict[bool, list[float]] = {True: [], False: []}
        for index in range(pairs + 1):
            for on in (True, False) if index % 2 else (False, True):
                figures[on].append(speed(backend, text, speculation if on else None))
        rows.append(Row(name, "t/s", figures[True][1:], figures[False][1:], "higher", target))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--state-dir", type=Path, default=Path(".cache/state"))
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 4))
    options = parser.parse_args()
    backend = LlamaBackend(load(default_model(options.state_dir), slots=1, threads=options.threads))
    rows = measure(backend, options.pairs)
    print(f"{machine()}; {options.threads} threads, one stream, {options.pairs} pairs\n")
    print(markdown(rows).replace("mongarsd", "with drafts").replace("llama-server", "without"))


if __name__ == "__main__":
    main()
