"""100,000 turns in the file: storing one more, listing, full-text search.

    python -m benchmarks.memory_turns [FOLDER] [--turns 100000]

FOLDER is where the file is made (default: a temporary one); put it on the disk you ask about.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from mongarsd.ground.clock import SystemClock
from mongarsd.memory.conversations.types import NewTurn
from mongarsd.memory.room import Memory

TURNS_EACH = 20
WORDS = 40
VOCABULARY = 20_000


def text(chance: random.Random) -> str:
    """Words as in a language: a few very often, most rarely (Zipf)."""
    return " ".join(f"word{min(int(chance.paretovariate(0.6)), VOCABULARY)}" for _ in range(WORDS))


async def timed(work: Callable[[], Awaitable[object]], times: int) -> dict[str, float]:
    """Milliseconds."""
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        await work()
        took.append((time.perf_counter() - begin) * 1000)
    took.sort()
    return {"p50": round(statistics.median(took), 2), "p95": round(took[int(len(took) * 0.95)], 2)}


async def run(folder: Path, turns: int) -> dict[str, object]:
    chance = random.Random(1)
    memory = Memory(folder, SystemClock())
    await memory.start()
    store = memory.conversations

    async def fill() -> str:
        made = [NewTurn(role="user", content=text(chance)) for _ in range(TURNS_EACH)]
        return (await store.create("local", made)).id

    for _ in range(turns // TURNS_EACH // 50):
        names = await asyncio.gather(*(fill() for _ in range(50)))
    name = names[0]

    async def append() -> None:
        await store.append("local", name, [NewTurn(role="user", content=text(chance))])

    async def together() -> None:
        await asyncio.gather(*(append() for _ in range(32)))

    found = {
        "turns": (await memory.status()).turns,
        "bytes": memory.database.path.stat().st_size,
        "append_ms": await timed(append, 200),
        "append_32_together_ms": await timed(together, 20),
        "list_ms": await timed(lambda: store.list("local", limit=20), 200),
        "turns_page_ms": await timed(lambda: store.turns("local", name, limit=100), 200),
        "search_rare_ms": await timed(lambda: store.search("local", f"word{chance.randrange(500, 5000)}"), 200),
        "search_common_ms": await timed(lambda: store.search("local", "word1 word2"), 20),
        "delete_ms": await timed(lambda: _delete(store, fill), 3),
    }
    await memory.close()
    return found


async def _delete(store: object, fill: Callable[[], Awaitable[str]]) -> None:
    await store.delete("local", await fill())  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--turns", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="turns") as temporary:
        print(json.dumps(asyncio.run(run(options.folder or Path(temporary), options.turns)), indent=2))


if __name__ == "__main__":
    main()
