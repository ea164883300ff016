"""`python -m benchmarks.retrieval STATE_DIR [CORPUS]`: are the right passages found? Words, vectors and both together.

CORPUS is the folder of Python's documentation as HTML that Debian's python3.11-doc ships; without it, `apt-get
download` fetches the package into STATE_DIR/benchmarks, and dpkg-deb unpacks it there. Its tutorial, HOWTOs and FAQ are
stored by the real room: read by its child process, cut, embedded by all-MiniLM-L6-v2, which STATE_DIR has installed
(`mongarsctl models pull all-minilm-l6-v2`). `questions.tsv` has questions as a beginner asks them, the page with the
answer, and words that only passages with the answer have. Recall@5 is the share of questions for which one of the first
five passages is such a one.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from mongarsd.ground.clock import SystemClock
from mongarsd.ground.job import Priority
from mongarsd.inference.models.catalogue import load_catalogue
from mongarsd.inference.models.installed import Installed
from mongarsd.inference.onnx.session import Session
from mongarsd.inference.onnx.tokens import Tokenizer
from mongarsd.inference.worker.protocol import Load
from mongarsd.memory.documents.search import Way
from mongarsd.memory.documents.types import Cut, NewEntry, Passage
from mongarsd.memory.room import Memory

PACKAGE = "python3.11-doc"
HTML = Path("usr/share/doc/python3.11/html")
FOLDERS = ("tutorial", "howto", "faq")
AT = 5
VECTOR = 384 * 4  # bytes


class Question(NamedTuple):
    text: str
    page: str
    answers: tuple[str, ...]  # any of them

    def answered(self, passage: Passage) -> bool:
        text = " ".join(passage.text.split()).lower()
        return passage.attributes["page"] == self.page and any(answer.lower() in text for answer in self.answers)


def questions() -> list[Question]:
    lines = Path(__file__).with_name("questions.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [Question(text, page, tuple(answers.split("|"))) for text, page, answers in rows]


def fetch(folder: Path) -> Path:
    """The documentation, from Debian."""
    if not (folder / HTML).exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True)
        (package,) = folder.glob(f"{PACKAGE}_*.deb")
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return folder / HTML


class Embedder:
    """The model in this process. Vectors are kept in STATE_DIR/benchmarks: a run that was stopped goes on there."""

    def __init__(self, state: Path) -> None:
        model = Installed(state, load_catalogue()).resolve("all-minilm-l6-v2")
        load = Load(
            model=model.digest, path=str(model.path), node="", slots=1, context=256, decode_threads=1,
            prefill_threads=2, queue=1, max_gap=1.0,
        )  # fmt: skip
        self.model = model.digest
        self._session, self._tokenize = Session(load), Tokenizer(str(model.paths["tokenizer"]), 256)
        folder = state / "benchmarks"
        folder.mkdir(exist_ok=True)
        self._file = (folder / "retrieval.vectors").open("a+b")
        self._file.seek(0)
        self._known: dict[bytes, bytes] = {}
        while len(row := self._file.read(32 + VECTOR)) == 32 + VECTOR:
            self._known[row[:32]] = row[32:]

    async def __call__(self, texts: Sequence[str], *, priority: Priority = Priority.BATCH) -> list[bytes]:  # noqa: ARG002
        keys = [hashlib.sha256(text.encode()).digest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        if new:
            made = await asyncio.to_thread(lambda: self._session.vectors(self._tokenize(list(new.values()))))
            self._known.update(zip(new, made, strict=True))
            self._file.write(b"".join(key + self._known[key] for key in new))
            self._file.flush()
        return [self._known[key] for key in keys]


async def one(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def run(state: Path, corpus: Path, cut: Cut) -> None:
    asked, embedder = questions(), Embedder(state)
    with tempfile.TemporaryDirectory() as folder:
        memory = Memory(Path(folder), SystemClock(), embed=embedder, model=lambda: embedder.model)
        await memory.start()
        documents = memory.documents
        entries = []
        for path in sorted(path for name in FOLDERS for path in (corpus / name).glob("*.html")):
            file = await documents.files.create("bench", path.name, lambda: "assistants", one(path.read_bytes()))
            page = str(path.relative_to(corpus))
            entries.append(NewEntry(file=file.id, attributes={"page": page}, cut=cut))
        store = (await documents.stores.create("bench", "python", entries=entries)).id
        while await documents.indexing.step():
            pass
        chunks = documents.indexing.embedded
        print(f"{len(entries)} pages, {chunks} chunks of at most {cut.most} tokens\n")
        print(f"| {len(asked)} questions | recall@1 | recall@{AT} | recall@10 | mean reciprocal rank |")
        print("|---|---|---|---|---|")
        missed: dict[str, list[str]] = {}
        for way in get_args(Way):
            ranks = []
            for question in asked:
                found = await documents.search("bench", [store], question.text, 10, way=way)
                ranks.append(next((i for i, passage in enumerate(found, 1) if question.answered(passage)), 0))
            shares = [sum(0 < rank <= most for rank in ranks) / len(ranks) for most in (1, AT, 10)]
            mean = sum(1 / rank for rank in ranks if rank) / len(ranks)
            print(f"| {way} | {shares[0]:.2f} | **{shares[1]:.2f}** | {shares[2]:.2f} | {mean:.2f} |")
            missed[way] = [question.text for question, rank in zip(asked, ranks, strict=True) if not 0 < rank <= AT]
        print("\nNot among the first five of hybrid:", *missed["hybrid"], sep="\n- ")
        await memory.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("corpus", type=Path, nargs="?")
    parser.add_argument("--most", type=int, default=Cut().most, help="tokens of a chunk")
    parser.add_argument("--overlap", type=int, default=Cut().overlap)
    options = parser.parse_args()
    corpus = options.corpus or fetch(options.state / "benchmarks" / PACKAGE)
    asyncio.run(run(options.state, corpus, Cut(options.most, options.overlap)))


if __name__ == "__main__":
    main()
