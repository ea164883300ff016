"""What a token costs the daemon between the worker's pipe and the clients: `python -m benchmarks.events --beside DIR`.

The real daemon over the fake backend, 50 steps a second, each of them one event a stream; CPU time of the daemon's
process, requests included. It depends on what else fills the caches, so another checkout (`--beside`, e.g. unpacked
from `git archive`) runs at the same time under the same load: the ratio is the figure.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.__main__ import machine
from benchmarks.client import together
from benchmarks.prompts import prompt
from benchmarks.servers import Server

HERE = Path(__file__).resolve().parent.parent
sys.path.append(str(HERE / "tests"))
from fakes.daemon_process import MODEL, running  # noqa: E402

EVENTS = 250  # a stream
WORDS = 5


def cpu_seconds(pid: int) -> float:
    """Of all threads of a process. The kernel's name of another process's clock: clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


@contextlib.contextmanager
def daemon(checkout: Path, streams: int) -> Iterator[Server]:
    env = {
        "PYTHONPATH": str(checkout),
        "MONGARSD_INFERENCE_SPECULATION": "false",
        "MONGARSD_INFERENCE_SLOTS": str(streams),
        "MONGARSD_INFERENCE_CONTEXT": "1024",
    }
    with running(env=env) as process:
        host, port = process.ports[0]
        yield Server(str(checkout), f"http://{host}:{port}", MODEL, process.process.pid)


async def microseconds(server: Server, streams: int) -> float:
    """CPU time an event."""
    before = cpu_seconds(server.pid)
    answers = await together(server, [prompt(WORDS) for _ in range(streams)], EVENTS)
    spent = cpu_seconds(server.pid) - before
    return spent / sum(answer.tokens for answer in answers) * 1e6


async def at_once(servers: list[Server], streams: int) -> list[float]:
    return await asyncio.gather(*(microseconds(server, streams) for server in servers))


def measure(checkouts: list[Path], streams: int, rounds: int) -> dict[Path, list[float]]:
    """The figures of each checkout. Who is asked first changes: it was seen to cost 4 %."""
    figures: dict[Path, list[float]] = {checkout: [] for checkout in checkouts}
    with contextlib.ExitStack() as stack:
        servers = {checkout: stack.enter_context(daemon(checkout, streams)) for checkout in checkouts}
        for _ in range(rounds + 1):
            servers = dict(reversed(servers.items()))
            found = asyncio.run(at_once(list(servers.values()), streams))
            for checkout, figure in zip(servers, found, strict=True):
                figures[checkout].append(figure)
    return {checkout: later for checkout, (_, *later) in figures.items()}  # the first round warms up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", type=Path, help="another checkout")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    checkouts = [HERE, *([options.beside.resolve()] if options.beside else [])]
    print(machine())
    for streams in options.streams:
        ours, *others = measure(checkouts, streams, options.rounds).values()
        line = f"{streams} streams: {statistics.median(ours):.1f} µs an event ({min(ours):.1f} to {max(ours):.1f})"
        for other in others:
            ratios = [a / b for a, b in zip(ours, other, strict=True)]
            line += f", the other {statistics.median(other):.1f}: {statistics.median(ratios):.2f} × "
            line += f"({min(ratios):.2f} to {max(ratios):.2f})"
        print(line)


if __name__ == "__main__":
    main()
