"""`python -m benchmarks.recall STATE_DIR --count 100000 [--count 1000000]`: hybrid search through the real room.

Sentences and vectors are those of `benchmarks.sentences`. Where there are fewer than `--count`, the rest are mixtures
of two real ones (60 to 95 % of one, and noise) with the first one's words in another order. They crowd the
neighbourhoods in which real ones lie, so there is more to confuse, not less.

Recall is the share of the exact 10 nearest (float32, all compared) that the index and its int8 look find. The questions
are real sentences that are not in the file. RSS is that of this process before and after the index is read.
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
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.sentences import DIMENSIONS, embedded
from mongarsd.ground.clock import SystemClock
from mongarsd.ground.job import Priority
from mongarsd.memory.accounts import ensure
from mongarsd.memory.recall import codec, rows, words
from mongarsd.memory.recall.bits import BitIndex
from mongarsd.memory.recall.indexes import Indexes, candidates
from mongarsd.memory.room import Memory

QUESTIONS = 300
MODEL = "sha256:benchmark"
ACCOUNT = "local"


class Known:
    """Embeds what is in its table: the embedding model's own time is not measured here (see benchmarks.embeddings)."""

    def __init__(self) -> None:
        self.table: dict[str, bytes] = {}

    async def __call__(self, texts: Sequence[str], *, priority: Priority = Priority.BATCH) -> list[bytes]:  # noqa: ARG002
        return [self.table[text] for text in texts]


def rest(texts: list[str], vectors: NDArray[np.float32], count: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """`count` mixtures of real ones."""
    dice, order = np.random.default_rng(1), random.Random(1)
    while count > 0:
        some = min(count, 10_000)
        first, second = dice.integers(len(texts), size=(2, some))
        weight = dice.uniform(0.6, 0.95, size=(some, 1)).astype(np.float32)
        mixed = weight * vectors[first] + (1 - weight) * vectors[second]
        mixed += dice.normal(0, 0.01, size=mixed.shape).astype(np.float32)
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        for place, vector in zip(first, mixed, strict=True):
            shuffled = texts[place].split()
            order.shuffle(shuffled)
            yield " ".join(shuffled), vector
        count -= some


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def percentile(figures: Sequence[float], share: float) -> float:
    return sorted(figures)[min(int(len(figures) * share), len(figures) - 1)]


async def fill(room: Memory, items: Iterator[tuple[str, NDArray[np.float32]]], count: int) -> NDArray[np.float32]:
    """All vectors, as float32."""
    table = np.empty((count, DIMENSIONS), np.float32)
    done = 0
    while done < count:
        batch = [next(items) for _ in range(min(20_000, count - done))]
        begin = done
        for text_and_vector in batch:
            table[done] = text_and_vector[1]
            done += 1

        def work(connection: sqlite3.Connection, batch: list[Any] = batch, begin: int = begin) -> None:
            ensure(connection, ACCOUNT, 0.0)
            embedder = rows.ensure_embedder(connection, MODEL, DIMENSIONS)
            connection.executemany(
                "INSERT INTO memories (id, account, source, created, updated, embedder, bits, vector, text)"
                " VALUES (?, ?, 'fact', ?, ?, ?, ?, ?, ?)",
                (
                    (f"mem_{begin + i:024x}", ACCOUNT, begin + i, begin + i, embedder, *codec.encode(v.tobytes()), text)
                    for i, (text, v) in enumerate(batch)
                ),
            )

        await room.database.write(work)
    return table


def exact(questions: NDArray[np.float32], table: NDArray[np.float32]) -> NDArray[np.int64]:
    """(questions, 10) rows of the nearest."""
    found = []
    for start in range(0, len(questions), 20):
        scores = questions[start : start + 20] @ table.T
        near = np.argpartition(-scores, 10, axis=1)[:, :10]
        found.append(near)
    return np.concatenate(found)


async def measure(state: Path, count: int, folder: Path, *, compare: bool) -> dict[str, Any]:
    texts, vectors = embedded(state)
    asked, questions = texts[-QUESTIONS:], vectors[-QUESTIONS:]
    texts, vectors = texts[:-QUESTIONS], np.ascontiguousarray(vectors[:-QUESTIONS])
    real = min(count, len(texts))
    known = Known()
    known.table = {text: vector.tobytes() for text, vector in zip(asked, questions, strict=True)}
    clock = SystemClock()
    room = Memory(folder, clock, embed=known, model=lambda: MODEL)
    await room.start()

    def items() -> Iterator[tuple[str, NDArray[np.float32]]]:
        yield from zip(texts[:real], vectors[:real], strict=True)
        yield from rest(texts, vectors, count - real)

    begin = time.perf_counter()
    table = await fill(room, items(), count)
    filled = time.perf_counter() - begin
    best = exact(questions, table)
    theirs = sqlite_vec(table, questions, best) if compare else {}
    del table
    gc.collect()

    indexes = Indexes(room.database, clock)
    warm_up(questions)
    before, begin = resident(), time.perf_counter()
    right, near_times = 0, []
    for number, (question, nearest) in enumerate(zip(questions, best, strict=True)):
        start = time.perf_counter()
        near = await indexes.search(ACCOUNT, 1, DIMENSIONS, question.tobytes())
        async with room.database.reader() as reader:
            stored = await rows.vectors(reader, ACCOUNT, 1, near)
        cosines = codec.similarities(question.tobytes(), list(stored.values()))
        top = [list(stored)[place] for place in np.argsort(-cosines)[:10]]
        if number:
            near_times.append(time.perf_counter() - start)
        else:
            loaded = time.perf_counter() - begin
        right += len(set(top) & {int(row) + 1 for row in nearest})
    grown = resident() - before

    word_times = []
    for text in asked:
        start = time.perf_counter()
        async with room.database.reader() as reader:
            match = words.narrowed(await rows.frequencies(reader, words.words(text)))
            await rows.with_words(reader, ACCOUNT, match, 50)
        word_times.append(time.perf_counter() - start)

    await room.recall.search(ACCOUNT, asked[0])
    times = []
    for text in asked:
        start = time.perf_counter()
        await room.recall.search(ACCOUNT, text)
        times.append(time.perf_counter() - start)
    await room.close()
    size = (folder / "mongars.db").stat().st_size
    return {
        "memories": count,
        "real": real,
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
        "file MB": size / 1e6,
        "filling s": filled,
        **theirs,
    }


def warm_up(questions: NDArray[np.float32]) -> None:
    """What a first search loads and keeps whatever it searches in (threads and buffers of numpy)."""
    index = BitIndex(DIMENSIONS)
    coded = [codec.encode(row.tobytes()) for row in questions] * 10
    index.extend((number, one.bits) for number, one in enumerate(coded))
    index.search(questions[0].tobytes(), candidates(100_000))
    codec.similarities(questions[0].tobytes(), [one.numbers for one in coded])


def sqlite_vec(table: NDArray[np.float32], questions: NDArray[np.float32], best: NDArray[np.int64]) -> dict[str, Any]:
    """`pip install sqlite-vec` beside; {} where it cannot be loaded."""
    try:
        import sqlite_vec as extension  # type: ignore[import-not-found,unused-ignore]

        connection = sqlite3.connect(":memory:")
        connection.enable_load_extension(True)
        extension.load(connection)
    except (ImportError, AttributeError, sqlite3.Error) as error:
        print(f"sqlite-vec is not compared: {error}")
        return {}
    found: dict[str, Any] = {}
    for kind, column in (("int8", f"int8[{DIMENSIONS}]"), ("float", f"float[{DIMENSIONS}]")):
        connection.execute(f"CREATE VIRTUAL TABLE {kind}s USING vec0(v {column})")
        quote = "vec_quantize_int8(?, 'unit')" if kind == "int8" else "?"
        connection.executemany(
            f"INSERT INTO {kind}s (rowid, v) VALUES (?, {quote})",
            ((number, struct.pack(f"{DIMENSIONS}f", *row)) for number, row in enumerate(table)),
        )
        times, right = [], 0
        for question, nearest in zip(questions[:50], best[:50], strict=True):
            start = time.perf_counter()
            near = connection.execute(
                f"SELECT rowid FROM {kind}s WHERE v MATCH {quote} AND k = 10", (question.tobytes(),)
            ).fetchall()
            times.append(time.perf_counter() - start)
            right += len({row[0] for row in near} & set(nearest.tolist()))
        found[f"sqlite-vec {kind} p50 ms"] = 1e3 * statistics.median(times)
        found[f"sqlite-vec {kind} recall@10"] = right / 500
        connection.execute(f"DROP TABLE {kind}s")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("--count", type=int, action="append")
    parser.add_argument("--folder", type=Path, help="where the file is made (default: a temporary folder)")
    parser.add_argument("--no-compare", action="store_true", help="without sqlite-vec")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = []
    for count in options.count or [100_000]:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            found = asyncio.run(measure(options.state, count, Path(folder), compare=not options.no_compare))
        results.append(found)
        for name, value in found.items():
            print(f"| {name} | {value:,.3f} |" if isinstance(value, float) else f"| {name} | {value:,} |")
        print()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
