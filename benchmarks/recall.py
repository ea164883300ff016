"""`python -m benchmarks.recall STATE_DIR --count 100000 [--count 1000000]`: hybrid search through the real room.

Sentences and vectors are those of `benchmarks.sentences`. Where there are fewer than `--count`, the rest are mixtures
of two real ones (60 to 95 % of one, and noise) with the first one's words in another order. They crowd the
neighbourhoods in which real ones lie, so there is more to confuse, not less.

The file is made in STATE_DIR/benchmarks/recall-COUNT and kept, for `--fill` takes minutes; a run that was stopped goes
on there. Recall is the share of the exact 10 nearest (float32, all compared) that the index and its int8 look find. The
questions are real sentences that are not in the file. RSS is that of this process before and after, where before means
that a small account was searched: libraries, threads and connections are there already.

`benchmarks.sqlite_vec` searches the same vectors beside.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import sqlite3
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.sentences import DIMENSIONS, embedded
from mongarsd.ground.clock import SystemClock
from mongarsd.ground.job import Priority
from mongarsd.memory.accounts import ensure
from mongarsd.memory.recall import codec, rows, words
from mongarsd.memory.recall.indexes import Indexes, candidates
from mongarsd.memory.room import Memory

QUESTIONS = 300
MODEL = "sha256:benchmark"
ACCOUNT, SMALL = "local", "small"
BATCH = 20_000
NEAREST = "nearest.npy"
VECTORS = "vectors.f32"


class Real(NamedTuple):
    texts: list[str]
    vectors: NDArray[np.float32]


class Known:
    """Embeds what is in its table: the embedding model's own time is not measured here (see benchmarks.embeddings)."""

    def __init__(self, asked: Real) -> None:
        self.table = {text: vector.tobytes() for text, vector in zip(asked.texts, asked.vectors, strict=True)}

    async def __call__(self, texts: Sequence[str], *, priority: Priority = Priority.BATCH) -> list[bytes]:  # noqa: ARG002
        return [self.table[text] for text in texts]


def real(state: Path) -> tuple[Real, Real]:
    """What is stored, and what is asked."""
    texts, vectors = embedded(state)
    return Real(texts[:-QUESTIONS], vectors[:-QUESTIONS]), Real(texts[-QUESTIONS:], vectors[-QUESTIONS:])


def items(stored: Real, begin: int, count: int) -> Real:
    """Those from `begin` on, always the same."""
    have = max(min(len(stored.texts) - begin, count), 0)
    texts, vectors = mixtures(stored, count - have, begin)
    return Real(
        stored.texts[begin : begin + have] + texts, np.concatenate((stored.vectors[begin : begin + have], vectors))
    )


def mixtures(stored: Real, count: int, seed: int) -> Real:
    """`count` mixtures of two real ones."""
    dice, order = np.random.default_rng(seed), random.Random(seed)
    first, second = dice.integers(len(stored.texts), size=(2, count))
    weight = dice.uniform(0.6, 0.95, size=(count, 1)).astype(np.float32)
    mixed = weight * stored.vectors[first] + (1 - weight) * stored.vectors[second]
    mixed += dice.normal(0, 0.01, size=mixed.shape).astype(np.float32)
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    texts = []
    for place in first:
        shuffled = stored.texts[place].split()
        order.shuffle(shuffled)
        texts.append(" ".join(shuffled))
    return Real(texts, mixed)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def percentile(figures: Sequence[float], share: float) -> float:
    return sorted(figures)[min(int(len(figures) * share), len(figures) - 1)]


def store(connection: sqlite3.Connection, account: str, some: Real) -> None:
    """Part of a write."""
    ensure(connection, account, 0.0)
    embedder = rows.ensure_embedder(connection, MODEL, DIMENSIONS)
    connection.executemany(
        "INSERT INTO memories (id, account, source, created, updated, embedder, bits, vector, text)"
        " VALUES (?, ?, 'fact', ?, ?, ?, ?, ?, ?)",
        (
            (f"mem_{account}_{i}_{time.monotonic_ns()}", account, i, i, embedder, *codec.encode(vector.tobytes()), text)
            for i, (text, vector) in enumerate(zip(some.texts, some.vectors, strict=True))
        ),
    )


async def fill(folder: Path, stored: Real, asked: Real, count: int, seconds: float) -> bool:
    """Go on for so long; True = all is there."""
    room = Memory(folder, SystemClock())
    await room.start()
    limit = time.monotonic() + seconds
    done = await stored_already(room)
    with (folder / VECTORS).open("r+b" if done else "wb") as file:
        while done < count and time.monotonic() < limit:
            some = items(stored, done, min(BATCH, count - done))
            file.seek(done * DIMENSIONS * 4)
            file.write(some.vectors.tobytes())
            file.flush()  # before the rows: a run that is killed goes on by their number
            await room.database.write(lambda connection, some=some: store(connection, ACCOUNT, some))  # type: ignore[misc]
            done += len(some.texts)
    if done == count and not (folder / NEAREST).exists():
        small = Real(stored.texts[:1000], stored.vectors[:1000])
        await room.database.write(lambda connection: store(connection, SMALL, small))
        await room.database.checkpoint()
        np.save(folder / "questions.npy", asked.vectors)
        np.save(folder / NEAREST, exact(asked.vectors, folder / VECTORS))
    await room.close()
    print(f"{done} of {count} memories are stored")
    return done == count


async def stored_already(room: Memory) -> int:
    async with room.database.reader() as reader:
        ((count,),) = await reader.execute_fetchall("SELECT count(*) FROM memories WHERE account = ?", (ACCOUNT,))
    return int(count)


def exact(questions: NDArray[np.float32], table: Path) -> NDArray[np.int64]:
    """(questions, 10) numbers of the nearest memories."""
    vectors = np.memmap(table, np.float32, "r").reshape(-1, DIMENSIONS)
    ids = np.empty((len(questions), 0), np.int64)
    scores = np.empty((len(questions), 0), np.float32)
    for begin in range(0, len(vectors), 50_000):
        part = questions @ vectors[begin : begin + 50_000].T
        near = np.argpartition(-part, min(10, part.shape[1] - 1), axis=1)[:, :10]
        ids = np.concatenate((ids, near + begin + 1), axis=1)
        scores = np.concatenate((scores, np.take_along_axis(part, near, 1)), axis=1)
        best = np.argsort(-scores, axis=1)[:, :10]
        ids, scores = np.take_along_axis(ids, best, 1), np.take_along_axis(scores, best, 1)
    return ids


async def measure(folder: Path, asked: Real, count: int) -> dict[str, Any]:
    clock = SystemClock()
    room = Memory(folder, clock, embed=Known(asked), model=lambda: MODEL)
    await room.start()
    best = np.load(folder / NEAREST)
    indexes = Indexes(room.database, clock)
    for vector in asked.vectors[:20]:
        await near(room, indexes, SMALL, vector)
    gc.collect()
    before, begin = resident(), time.perf_counter()
    right, near_times = 0, []
    for number, (question, nearest) in enumerate(zip(asked.vectors, best, strict=True)):
        start = time.perf_counter()
        top = await near(room, indexes, ACCOUNT, question)
        if number:
            near_times.append(time.perf_counter() - start)
        else:
            loaded = time.perf_counter() - begin
        right += len(set(top) & set(nearest.tolist()))
    grown = resident() - before

    word_times = []
    for text in asked.texts:
        start = time.perf_counter()
        async with room.database.reader() as reader:
            match = words.narrowed(await rows.frequencies(reader, words.words(text)))
            await rows.with_words(reader, ACCOUNT, match, 50)
        word_times.append(time.perf_counter() - start)

    await room.recall.search(ACCOUNT, asked.texts[0])
    times = []
    for text in asked.texts:
        start = time.perf_counter()
        await room.recall.search(ACCOUNT, text)
        times.append(time.perf_counter() - start)
    await room.close()
    return {
        "memories": count,
        "hybrid p50 ms": 1e3 * statistics.median(times),
        "hybrid p95 ms": 1e3 * percentile(times, 0.95),
        "by meaning p50 ms": 1e3 * statistics.median(near_times),
        "by words p50 ms": 1e3 * statistics.median(word_times),
        "by words p95 ms": 1e3 * percentile(word_times, 0.95),
        "recall@10": right / (10 * QUESTIONS),
        "compared by int8": candidates(count),
        "RSS of 100,000 MB": grown / 1e6 / (count / 100_000),
        "index in RAM of 100,000 MB": indexes.size / 1e6 / (count / 100_000),
        "reading the index s": loaded,
        "file MB": (folder / "mongars.db").stat().st_size / 1e6,
    }


async def near(room: Memory, indexes: Indexes, account: str, question: NDArray[np.float32]) -> list[int]:
    """The best 10, as the room finds them."""
    found = await indexes.search(account, 1, DIMENSIONS, question.tobytes())
    async with room.database.reader() as reader:
        have = await rows.vectors(reader, account, 1, found)
    cosines = await asyncio.to_thread(codec.similarities, question.tobytes(), list(have.values()))
    return [list(have)[place] for place in np.argsort(-cosines)[:10]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state", type=Path)
    parser.add_argument("--count", type=int, action="append")
    parser.add_argument("--fill", action="store_true", help="make the file only")
    parser.add_argument(
        "--seconds", type=float, default=150.0, help="stop filling after this long; the next run goes on"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    stored, asked = real(options.state)
    results = []
    for count in options.count or [100_000]:
        folder = options.state / "benchmarks" / f"recall-{count}"
        folder.mkdir(parents=True, exist_ok=True)
        there = (folder / NEAREST).exists() or asyncio.run(fill(folder, stored, asked, count, options.seconds))
        if options.fill or not there:
            continue
        found = asyncio.run(measure(folder, asked, count)) | {"real": min(count, len(stored.texts))}
        results.append(found)
        for name, value in found.items():
            print(f"| {name} | {value:,.3f} |" if isinstance(value, float) else f"| {name} | {value:,} |")
        print()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
