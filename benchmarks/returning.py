"""Coming back to a conversation of 1,500 tokens after the server was restarted; and what moving its cells costs.

python -m benchmarks.returning [--pairs N]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import aiohttp

from benchmarks import servers
from benchmarks.__main__ import CONTEXT, default_model, machine
from benchmarks.client import REQUEST_TIMEOUT, Answer, ask
from benchmarks.prompts import prompt
from benchmarks.servers import Server
from benchmarks.streams import LONG

SLOTS = 4
PAUSE = 2.0  # seconds between the answer and the restart; a person takes longer

Start = Callable[[], AbstractContextManager[Server]]


async def returning(start: Start) -> Answer:
    """Talk, restart, and go on: the answer to the second turn."""
    history = prompt(LONG)
    connector = aiohttp.TCPConnector(force_close=True)  # llama-server drops a connection that it kept
    async with aiohttp.ClientSession(timeout=REQUEST_TIMEOUT, connector=connector) as session:
        with start() as server:
            first = await ask(session, server, history, 16)
            await asyncio.sleep(PAUSE)
        history += [{"role": "assistant", "content": first.text}, {"role": "user", "content": "Go on, please."}]
        with start() as server:
            warm = await ask(session, server, prompt(20), 4)  # both have answered something
            assert warm.text
            return await ask(session, server, history, 16)


def moving(model: Path, threads: int) -> str:
    """Export and restore of 1,472 tokens, milliseconds: median of 5."""
    from mongarsd.inference.engine.base import BLOCK, Row
    from mongarsd.inference.llama.backend import LlamaBackend
    from mongarsd.inference.worker.protocol import Load

    load = Load(
        model="", path=str(model), node="", slots=2, context=CONTEXT, decode_threads=threads, prefill_threads=threads,
        queue=1, max_gap=1.0,
    )  # fmt: skip
    backend = LlamaBackend(load)
    count = 1472 // BLOCK
    for begin in range(0, count * BLOCK, BLOCK):
        backend.decode([Row(0, begin, [100 + begin % 1000] * BLOCK, False)])
    out, back = [], []
    for _ in range(5):
        begin_at = time.monotonic()
        blocks = backend.export(0, 0, count)
        out.append(time.monotonic() - begin_at)
        begin_at = time.monotonic()
        assert backend.restore(1, blocks)
        back.append(time.monotonic() - begin_at)
    size = sum(map(len, blocks)) / 1e6
    backend.close()
    export, restore = (statistics.median(seconds) * 1e3 for seconds in (out, back))
    return f"{size:.0f} MB: export {export:.0f} ms, restore {restore:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--state-dir", type=Path, default=Path(".cache/state"))
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 4))
    options = parser.parse_args()
    model = default_model(options.state_dir)
    binary = Path(os.environ["LLAMA_SERVER"])
    knobs = {"slots": SLOTS, "context": CONTEXT, "threads": options.threads}
    print(machine())
    print(moving(model, options.threads))
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        (state / "models").symlink_to((options.state_dir / "models").absolute())
        for number in range(options.pairs):
            ours = asyncio.run(returning(lambda: servers.ours(state, **knobs)))
            theirs = asyncio.run(returning(lambda: servers.theirs(binary, model, **knobs)))
            ratios.append(ours.first / theirs.first)
            cached = ours.usage["prompt_tokens_details"]["cached_tokens"]
            print(
                f"pair {number + 1}: ours {ours.first * 1e3:.0f} ms ({cached} of {ours.usage['prompt_tokens']} tokens"
                f" cached), llama-server {theirs.first * 1e3:.0f} ms, ratio {ratios[-1]:.3f}",
                flush=True,
            )
    print(f"ratio: median {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
