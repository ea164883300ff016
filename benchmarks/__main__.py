"""`python -m benchmarks [--pairs N] [--json FILE]`: print the table, write the figures."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks import conversations, servers, streams
from benchmarks.servers import Server
from benchmarks.table import Row, markdown

HERE = Path(__file__).parent
SLOTS, CONTEXT = 8, 2048
MANY = 16  # slots for as many streams


async def pairs(
    count: int, ours: Server, theirs: Server, measure: Callable[[Server], Awaitable[float]]
) -> tuple[list[float], list[float]]:
    """Measure both in turn, who goes first alternating."""
    figures: dict[str, list[float]] = {ours.name: [], theirs.name: []}
    for index in range(count):
        for server in (ours, theirs) if index % 2 else (theirs, ours):
            figures[server.name].append(await measure(server))
    return figures[ours.name], figures[theirs.name]


async def throughput(ours: Server, theirs: Server, count: int, numbers: tuple[int, ...]) -> list[Row]:
    """Tokens a second of so many streams."""
    rows: list[Row] = []
    for server in (ours, theirs):  # warm up
        await streams.throughput(server, max(numbers))
    for number in numbers:
        a, b = await pairs(count, ours, theirs, lambda s, n=number: streams.throughput(s, n))  # type: ignore[misc]
        rows.append(Row(f"{number} stream{'s' if number > 1 else ''}", "t/s", a, b, "higher", 1.0))
    return rows


async def measure(ours: Server, theirs: Server, count: int, *, quick: bool) -> list[Row]:
    """What one start of both servers is good for."""
    for server in (ours, theirs):  # warm up
        await streams.alone(server)
    rows = await throughput(ours, theirs, count, (1, 4, 8))
    gaps: dict[str, list[float]] = {ours.name: [], theirs.name: []}
    firsts: dict[str, list[float]] = {ours.name: [], theirs.name: []}
    for index in range(count):
        for server in (ours, theirs) if index % 2 else (theirs, ours):
            gap, first = await streams.arrival(server)
            gaps[server.name].append(gap * 1000)
            firsts[server.name].append(first * 1000)
    rows.append(
        Row(
            "longest gap of 4 streams while 1,500 tokens arrive",
            "ms",
            gaps[ours.name],
            gaps[theirs.name],
            "lower",
            1 / 8,
        )
    )
    rows.append(Row("first token of those 1,500 tokens", "ms", firsts[ours.name], firsts[theirs.name], "lower", 1.6))
    a, b = await pairs(count, ours, theirs, streams.alone)
    rows.append(Row("first token of 1,500 tokens alone", "s", a, b, "lower", 1.05))
    if not quick:
        a, b = await pairs(count, ours, theirs, conversations.turns)
        rows.append(Row("first token, turns 2 to 4 of 24 conversations over 8 slots", "s", a, b, "lower", 1.0))
    return rows


def machine() -> str:
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores of {cpu}, {time.strftime('%Y-%m-%d')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--state-dir", type=Path, default=Path(".cache/state"))
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("--json", type=Path, default=HERE / "results.json")
    parser.add_argument("--quick", action="store_true", help="leave out the conversations (about 6 minutes)")
    parser.add_argument("--flags", default="", help="of llama-server, beside its defaults")
    options = parser.parse_args()
    binary = (
        os.environ.get("LLAMA_SERVER") or subprocess.check_output([HERE / "build_llama_server.sh"], text=True).strip()
    )
    knobs = {"slots": SLOTS, "context": CONTEXT, "threads": options.threads}
    model, flags = default_model(options.state_dir), tuple(options.flags.split())
    with (
        servers.ours(options.state_dir, **knobs) as ours,
        servers.theirs(Path(binary), model, **knobs, flags=flags) as theirs,
    ):
        rows = asyncio.run(measure(ours, theirs, options.pairs, quick=options.quick))
    many = {**knobs, "slots": MANY}
    with (
        servers.ours(options.state_dir, **many) as ours,
        servers.theirs(Path(binary), model, **many, flags=flags) as theirs,
    ):
        rows[3:3] = asyncio.run(throughput(ours, theirs, options.pairs, (MANY,)))
    print(f"{machine()}; {options.threads} threads, {SLOTS} slots of {CONTEXT} tokens, {options.pairs} pairs\n")
    if flags:
        print(f"llama-server with `{options.flags}`\n")
    print(markdown(rows))
    figures = {"machine": machine(), **knobs, "flags": options.flags, "rows": [row.json() for row in rows]}
    options.json.write_text(json.dumps(figures, indent=1) + "\n")


def default_model(state: Path) -> Path:
    from mongarsd.inference.models.catalogue import load_catalogue
    from mongarsd.inference.models.installed import Installed

    return Installed(state, load_catalogue()).resolve("smollm2-135m-instruct").path


if __name__ == "__main__":
    main()
