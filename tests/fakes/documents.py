"""Documents in a folder, and an embedder for which some words mean the same."""

from __future__ import annotations

import array
import math
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import MongarsError
from mongarsd.ground.job import Priority
from mongarsd.ground.metrics import Metrics
from mongarsd.ground.settings import DocumentSettings
from mongarsd.memory.database.database import Database
from mongarsd.memory.documents.documents import Documents
from mongarsd.memory.documents.types import Entry, File, NewEntry, Passage

#: Words of one line mean the same.
MEANINGS = ("cat kitten feline", "car auto vehicle", "bread loaf bun", "rain shower drizzle", "money cash coin")
WIDTH = 64


def meaning(text: str) -> bytes:
    """A vector of length 1: a dimension a meaning, and a little of every other word."""
    values = [0.0] * WIDTH
    for word in text.lower().replace(".", " ").split():
        place = next((i for i, line in enumerate(MEANINGS) if word in line.split()), None)
        values[place if place is not None else 8 + sum(map(ord, word)) % (WIDTH - 8)] += (
            1.0 if place is not None else 0.1
        )
    size = math.sqrt(sum(value * value for value in values)) or 1.0
    return array.array("f", [value / size for value in values]).tobytes()


class FakeEmbedder:
    """`model` = "" : none is installed. `refuse`: raised for every text that holds the key."""

    def __init__(self) -> None:
        self.model = "sha256:one"
        self.error: MongarsError | None = None
        self.refuse: dict[str, MongarsError] = {}
        self.asked: list[tuple[Priority, int]] = []

    async def __call__(self, texts: Sequence[str], *, priority: Priority = Priority.BATCH) -> list[bytes]:
        self.asked.append((priority, len(texts)))
        if self.error:
            raise self.error
        for word, error in self.refuse.items():
            if any(word in text for text in texts):
                raise error
        return [meaning(text) for text in texts]


async def pieces(data: bytes | Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in [data] if isinstance(data, bytes) else data:
        yield piece


class Shelf:
    """`documents` over a database in `folder`; `open` and `close` any number of times."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.embedder = FakeEmbedder()
        self.settings = DocumentSettings()

    async def open(self) -> None:
        self.database = Database(self.folder / "mongars.db", clock=self.clock)
        self.documents = Documents(
            self.folder, self.database, self.clock, self.embedder, lambda: self.embedder.model,
            lambda: self.settings, Metrics(),
        )  # fmt: skip
        await self.database.start()
        await self.documents.files.settle()

    async def close(self) -> None:
        await self.database.close()

    async def upload(self, name: str, data: bytes | str, account: str = "me") -> File:
        raw = data.encode() if isinstance(data, str) else data
        return await self.documents.files.create(account, name, lambda: "assistants", pieces(raw), len(raw))

    async def store(self, *texts: str | bytes, account: str = "me", name: str = "shelf", **how: Any) -> str:
        """A store with a file a text, indexed."""
        files = [await self.upload(f"{i}.md", text, account) for i, text in enumerate(texts)]
        store = await self.documents.stores.create(
            account, name, entries=[NewEntry(file=file.id, **how) for file in files]
        )
        await self.index()
        return store.id

    async def index(self) -> None:
        """Until nothing waits."""
        for _ in range(1000):
            if not await self.documents.indexing.step():
                return
        raise AssertionError("indexing does not end")

    async def entries(self, store: str, account: str = "me") -> list[Entry]:
        found, _ = await self.documents.stores.entries(account, store, order="asc")
        return found

    async def find(self, store: str, query: str, account: str = "me", **how: Any) -> list[Passage]:
        return await self.documents.search(account, [store], query, **how)

    def contents(self) -> set[str]:
        folder = self.folder / "files"
        return {path.name for path in folder.iterdir()} if folder.exists() else set()
