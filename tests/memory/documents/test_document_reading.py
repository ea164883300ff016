"""The child process that reads a file: what comes out, and what a hostile file cannot do."""

from __future__ import annotations

import asyncio
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fakes.pdf_files import bomb_pdf, build_pdf, endless_pdf

from mongarsd.memory.documents.protocol import CutChunk
from mongarsd.memory.documents.reading import read_chunks
from mongarsd.memory.documents.structure import Unreadable


async def read(folder: Path, name: str, data: bytes, **limits: Any) -> list[CutChunk]:
    file = folder / "file"
    file.write_bytes(data)
    found: list[CutChunk] = []
    async for chunks in read_chunks(file, name, **{"most": 100, "overlap": 20, **limits}):
        found += chunks
    return found


async def test_a_file_comes_back_in_chunks(tmp_path: Path) -> None:
    (chunk,) = await read(tmp_path, "a.md", b"# Bread\nFlour and water.\n")
    assert chunk == CutChunk("# Bread\nFlour and water.", 0, 24, chunk.tokens, ("Bread",), None)
    chunks = await read(tmp_path, "a.txt", b"All work and no play. " * 20_000)
    assert len(chunks) > 1000
    assert chunks[-1].end == 22 * 20_000 - 1


async def test_a_pdf_comes_back_with_pages(tmp_path: Path) -> None:
    first, second = await read(tmp_path, "a.pdf", build_pdf(["bread " * 60, "soup " * 60]))
    assert (first.page, second.page) == (1, 1) or "soup" in second.text


async def test_a_file_that_takes_too_much_memory_fails(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="memory"):
        await read(tmp_path, "a.txt", b"x " * 40_000_000, memory=200_000_000)


@pytest.mark.parametrize("size", [1 << 26, 1 << 29])
async def test_a_pdf_bomb_fails(tmp_path: Path, size: int) -> None:
    with pytest.raises(Unreadable):
        await read(tmp_path, "a.pdf", bomb_pdf(size))


async def test_a_pdf_that_takes_too_long_fails(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="longer than 1 s"):
        await read(tmp_path, "a.pdf", endless_pdf(), seconds=1)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.pdf", "", "a/b\0c"])
async def test_what_is_no_text_fails_as_unsupported(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr("a", "text")
    with pytest.raises(Unreadable) as caught:
        await read(tmp_path, name, (tmp_path / "archive").read_bytes())
    assert not caught.value.supported


@pytest.mark.parametrize("data", [b"", b" \n\n "])
async def test_an_empty_file_fails(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Unreadable, match="no text"):
        await read(tmp_path, "a.txt", data)


async def test_closing_it_ends_the_child(tmp_path: Path) -> None:
    def children() -> set[str]:
        return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

    def written() -> str:
        return Path(f"/proc/{child}/io").read_text().split("wchar: ")[1].split()[0]

    (tmp_path / "file").write_bytes(b"All work and no play. " * 40_000)
    others = await asyncio.to_thread(children)
    reading = read_chunks(tmp_path / "file", "a.txt", most=100, overlap=0)
    await anext(reading)
    (child,) = await asyncio.to_thread(children) - others
    before = ""
    while (now := await asyncio.to_thread(written)) != before:  # until the pipe is full and the child waits
        before = now
        await asyncio.sleep(0.05)
    await reading.aclose()
    assert await asyncio.to_thread(children) <= others
