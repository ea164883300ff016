"""Real sentences with real vectors: docstrings of the installed Python packages, embedded by all-MiniLM-L6-v2.

`python -m benchmarks.sentences STATE_DIR --count 20000`: embeds that many more than are there, and keeps them in
STATE_DIR/benchmarks. STATE_DIR has all-minilm-l6-v2 installed (`mongarsctl models pull all-minilm-l6-v2`).
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import re
import sysconfig
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 384
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def sentences() -> list[str]:
    """All different, in an order that is always the same and mixes the packages."""
    found: dict[str, None] = {}
    for name in ("stdlib", "purelib"):
        for path in sorted(Path(sysconfig.get_paths()[name]).rglob("*.py")):
            for text in _docstrings(path):
                for sentence in _END.split(" ".join(text.split())):
                    if 30 <= len(sentence) <= 300 and sentence.count(" ") >= 5 and ">>>" not in sentence:
                        found[sentence] = None
    mixed = list(found)
    random.Random(1).shuffle(mixed)
    return mixed


def _docstrings(path: Path) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (
            text := ast.get_docstring(node)
        ):
            yield text.split("\n\n")[0] if len(text) > 4000 else text


def embedded(state: Path) -> tuple[list[str], NDArray[np.float32]]:
    """As many sentences as have vectors already, and their vectors (n, 384), of length 1."""
    folder = state / "benchmarks"
    vectors = np.fromfile(folder / "sentences.f32", np.float32).reshape(-1, DIMENSIONS)
    return (folder / "sentences.txt").read_text("utf-8").splitlines()[: len(vectors)], vectors


def embed(state: Path, count: int, threads: int, seconds: float) -> None:
    from mongarsd.inference.models.catalogue import load_catalogue
    from mongarsd.inference.models.installed import Installed
    from mongarsd.inference.onnx.session import Session
    from mongarsd.inference.onnx.tokens import Tokenizer
    from mongarsd.inference.worker.protocol import Load

    folder = state / "benchmarks"
    folder.mkdir(exist_ok=True)
    listed = folder / "sentences.txt"
    if not listed.exists():
        listed.write_text("\n".join(sentences()), "utf-8")
    texts = listed.read_text("utf-8").splitlines()
    model = Installed(state, load_catalogue()).resolve("all-minilm-l6-v2")
    load = Load(
        model=model.digest, path=str(model.path), node="", slots=1, context=256, decode_threads=1,
        prefill_threads=threads, queue=1, max_gap=1.0,
    )  # fmt: skip
    session, tokenize = Session(load), Tokenizer(str(model.paths["tokenizer"]), 256)
    limit = time.monotonic() + seconds
    with (folder / "sentences.f32").open("ab") as file:
        done = file.tell() // (4 * DIMENSIONS)
        todo = texts[done : done + count]
        for start in range(0, len(todo), 512):
            tokens = tokenize(todo[start : start + 512])
            order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))  # equal lengths together: no padding
            vectors: dict[int, bytes] = {}
            for begin in range(0, len(order), 32):
                some = order[begin : begin + 32]
                vectors.update(zip(some, session.vectors([tokens[i] for i in some]), strict=True))
            file.write(b"".join(vectors[i] for i in range(len(tokens))))
            if time.monotonic() > limit:
                break
        print(f"{file.tell() // (4 * DIMENSIONS)} of {len(texts)} sentences have vectors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("--seconds", type=float, default=160.0, help="stop after this long; the next run goes on")
    options = parser.parse_args()
    embed(options.state, options.count, options.threads, options.seconds)


if __name__ == "__main__":
    main()
