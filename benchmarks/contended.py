"""One core is kept busy by another process. `python -m benchmarks.contended [--pairs N] [--json FILE]`.

Ours follows the load with its threads; llama-server has its default: one thread a core. Then the same on an idle board
against ours with live threads off: following must not cost anything. There each waits until the other's turn is
forgotten, because to a daemon that follows the load the other one is load.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import servers
from benchmarks.__main__ import CONTEXT, HERE, SLOTS, default_model, machine, pairs
from benchmarks.servers import Server
from benchmarks.streams import throughput
from benchmarks.table import Row, markdown

#: Seconds between the start of the busy process and the first question: what is measured is the steady state.
SETTLE = 3.0
STREAMS = (1, 4)
TARGETS = {1: 2.0, 4: 1.6}


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """A process that computes without end on the last core this one may use."""
    core = max(os.sched_getaffinity(0))
    loop = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", loop])
    try:
        time.sleep(SETTLE)
        yield
    finally:
        process.kill()
        process.wait()


async def compare(
    ours: Server, other: Server, count: int, what: str, targets: dict[int, float], pause: float = 0.0
) -> list[Row]:
    """Throughput of ours and the other, in pairs, `pause` seconds before each turn."""

    async def turn(server: Server, streams: int) -> float:
        await asyncio.sleep(pause)
        return await throughput(server, streams)

    rows = []
    for number in STREAMS:
        a, b = await pairs(count, ours, other, lambda s, n=number: turn(s, n))  # type: ignore[misc]
        label = f"{number} stream{'s' if number > 1 else ''}, {what}"
        rows.append(Row(label, "t/s", a, b, "higher", targets[number]))
    return rows


def twin(state: Path, folder: str) -> Path:
    """The same models for a second daemon, which may not share the directory."""
    return Path(shutil.copytree(state / "models", Path(folder) / "models", copy_function=os.link).parent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--state-dir", type=Path, default=Path(".cache/state"))
    parser.add_argument("--json", type=Path, default=HERE / "contended.json")
    options = parser.parse_args()
    binary = (
        os.environ.get("LLAMA_SERVER") or subprocess.check_output([HERE / "build_llama_server.sh"], text=True).strip()
    )
    knobs = {"slots": SLOTS, "context": CONTEXT, "threads": len(os.sched_getaffinity(0))}
    model = default_model(options.state_dir)
    with (
        servers.ours(options.state_dir, **knobs, MONGARSD_INFERENCE_LIVE_THREADS="true") as ours,
        servers.theirs(Path(binary), model, **knobs) as theirs,
        busy_core(),
    ):
        rows = asyncio.run(compare(ours, theirs, options.pairs, "one core busy", TARGETS))
    with (
        tempfile.TemporaryDirectory(dir=options.state_dir.parent) as folder,
        servers.ours(options.state_dir, **knobs, MONGARSD_INFERENCE_LIVE_THREADS="true") as ours,
        servers.ours(twin(options.state_dir, folder), **knobs, MONGARSD_INFERENCE_LIVE_THREADS="false") as fixed,
    ):
        fixed = dataclasses.replace(fixed, name="fixed threads")
        rows += asyncio.run(compare(ours, fixed, options.pairs, "idle", dict.fromkeys(STREAMS, 0.98), SETTLE))
    print(f"{machine()}; {options.pairs} pairs\n")
    print(markdown(rows))
    figures = {"machine": machine(), **knobs, "rows": [row.json() for row in rows]}
    options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
