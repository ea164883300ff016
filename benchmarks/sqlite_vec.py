"""`python -m benchmarks.sqlite_vec STATE_DIR --count 100000`: sqlite-vec on the vectors of `benchmarks.recall --fill`.

Needs sqlite-vec, numpy and an interpreter whose sqlite3 may load extensions: Debian's may, many others may not.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import time
from pathlib import Path

import numpy as np

DIMENSIONS = 384
ASKED = 30
BATCH = 20_000
KINDS = {
    "float": ("float", "?"),
    "int8": ("int8", "vec_quantize_int8(?, 'unit')"),
    "bit": ("bit", "vec_quantize_binary(?)"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state", type=Path)
    parser.add_argument("--count", type=int, default=100_000)
    options = parser.parse_args()
    import sqlite_vec

    folder = options.state / "benchmarks" / f"recall-{options.count}"
    vectors = np.memmap(folder / "vectors.f32", np.float32, "r").reshape(-1, DIMENSIONS)
    questions = np.load(folder / "questions.npy")[:ASKED]
    nearest = np.load(folder / "nearest.npy")[:ASKED]
    connection = sqlite3.connect(folder / "sqlite-vec.db")
    connection.enable_load_extension(True)
    sqlite_vec.load(connection)
    connection.execute("PRAGMA journal_mode=OFF")
    for kind, (column, value) in KINDS.items():
        connection.execute(f"CREATE VIRTUAL TABLE IF NOT EXISTS {kind}s USING vec0(v {column}[{DIMENSIONS}])")
        ((have,),) = connection.execute(f"SELECT count(*) FROM {kind}s")
        for begin in range(have, len(vectors), BATCH):
            connection.executemany(
                f"INSERT INTO {kind}s (rowid, v) VALUES (?, {value})",
                ((begin + i + 1, row.tobytes()) for i, row in enumerate(vectors[begin : begin + BATCH])),
            )
            connection.commit()
        times, right = [], 0
        for question, best in zip(questions, nearest, strict=True):
            start = time.perf_counter()
            found = connection.execute(
                f"SELECT rowid FROM {kind}s WHERE v MATCH {value} AND k = 10", (question.tobytes(),)
            ).fetchall()
            times.append(time.perf_counter() - start)
            right += len({row[0] for row in found} & set(best.tolist()))
        print(
            f"| sqlite-vec {kind} | p50 {1e3 * statistics.median(times):.1f} ms | recall@10 {right / 10 / ASKED:.3f} |"
        )


if __name__ == "__main__":
    main()
