"""A model store over sources in memory, and what a test asks of it."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from fakes.gguf_files import U32, build_gguf, llama_values
from fakes.model_source import FakeSource

from mongarsd.ground.status import PullProgress
from mongarsd.inference.models.catalogue import Catalogue, CatalogueEntry, Origin
from mongarsd.inference.models.disk import Disk
from mongarsd.inference.models.gguf import GgufHeader, read_header
from mongarsd.inference.models.partial import Report
from mongarsd.inference.models.store import ModelStore

BODY = build_gguf()
SHA256 = hashlib.sha256(BODY).hexdigest()
SMALLER = build_gguf(llama_values(general__file_type=(U32, 7)))  # what the fake requantization gives
REF, SECOND = "hf:org/repo/model.gguf", "hf:org/repo/second.gguf"


class Plenty(Disk):
    def free(self, path: Path) -> int:
        return 10**12


class Filling(Plenty):
    """The disk becomes full after so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, file: int, data: bytes | memoryview) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(file, bytes(data)[: self.room])
        self.room -= written
        return written


def convert(source: Path, target: Path) -> None:
    assert source.read_bytes() == BODY
    target.write_bytes(SMALLER)


class Scene:
    """A store over sources in memory, and what a test asks of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sources: dict[str, FakeSource] = {REF: FakeSource(BODY)}
        self.requantized = 0
        self.interrupt: BaseException | None = None
        self.entries: list[CatalogueEntry] = []

    def store(self, disk: Disk | None = None, *, offline: bool = False) -> ModelStore:
        return ModelStore(
            self.root,
            Catalogue(self.entries),
            offline=offline,
            disk=disk or Plenty(),
            source=self.sources.__getitem__,
            requantize=self.requantize,
        )

    def knows(self, *origins: Origin, name: str = "tiny", aliases: tuple[str, ...] = ("tiny:1b",)) -> None:
        self.entries.append(
            CatalogueEntry(
                name=name, title="", parameters=1, licence="MIT", context=1, ram=1, sources=origins, aliases=aliases
            )
        )

    async def requantize(self, source: Path, target: Path, kind: str, disk: Disk, report: Report) -> GgufHeader:
        self.requantized += 1
        convert(source, target)
        if self.interrupt:
            raise self.interrupt
        return read_header(target)

    def files(self, folder: str) -> list[Path]:
        return sorted((self.root / "models" / folder).iterdir())


async def pull(store: ModelStore, ref: str = REF, name: str | None = None) -> list[PullProgress]:
    return [line async for line in store.pull(ref, name)]


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (what is waited for is a fake's plain attribute)
            await asyncio.sleep(0)
