"""Files: within limits, whole or not at all, one account's only."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.documents import Shelf, pieces
from hypothesis import given
from hypothesis import strategies as st

from mongarsd.ground.errors import BadRequest, DiskFull, MongarsError, NotFound, TooLarge
from mongarsd.ground.settings import DocumentSettings
from mongarsd.memory.documents.blobs import RESERVE, Blobs, Upload


async def test_a_file_is_kept_privately_and_given_back(shelf: Shelf) -> None:
    data = bytes(range(256)) * 3000
    file = await shelf.upload("all bytes.bin", data)
    found, path = await shelf.documents.files.content("me", file.id)
    assert found == file == await shelf.documents.files.get("me", file.id)
    assert (file.bytes, file.digest) == (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
    assert path.read_bytes() == data
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


async def test_files_are_listed_in_pages(shelf: Shelf) -> None:
    ids = [(await shelf.upload(f"{i}.txt", "x")).id for i in range(5)]
    page, more = await shelf.documents.files.page("me", limit=3)
    assert ([file.id for file in page], more) == (ids[:1:-1], True)
    page, more = await shelf.documents.files.page("me", limit=3, after=page[-1].id)
    assert ([file.id for file in page], more) == (ids[1::-1], False)
    page, _ = await shelf.documents.files.page("me", order="asc", after=ids[3])
    assert [file.id for file in page] == ids[4:]
    assert await shelf.documents.files.page("me", purpose="batch") == ([], False)
    with pytest.raises(BadRequest):
        await shelf.documents.files.page("me", limit=0)


async def test_what_is_deleted_is_gone(shelf: Shelf) -> None:
    file = await shelf.upload("a.txt", "x")
    await shelf.documents.files.delete("me", file.id)
    assert shelf.contents() == set()
    for verb in (shelf.documents.files.get, shelf.documents.files.content, shelf.documents.files.delete):
        with pytest.raises(NotFound):
            await verb("me", file.id)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (DocumentSettings(max_file=9), "larger than 9 bytes"),
        (DocumentSettings(max_files=1), "has 1 files, and 1 are allowed"),
        (DocumentSettings(max_bytes=15), "would have 20 bytes, and 15 are allowed"),
    ],
)
async def test_a_limit_is_said_with_numbers_and_nothing_stays(
    shelf: Shelf, limits: DocumentSettings, words: str
) -> None:
    await shelf.upload("first", b"0123456789")
    before = shelf.contents()
    shelf.settings = limits
    for announced in (10, 0):
        with pytest.raises(TooLarge, match=words):
            await shelf.documents.files.create("me", "second", str, pieces(b"0123456789"), announced)
    assert shelf.contents() == before


async def test_reading_stops_at_the_limit(shelf: Shelf) -> None:
    shelf.settings = DocumentSettings(max_file=1_000_000)
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 100_000
            yield bytes(100_000)

    with pytest.raises(TooLarge):
        await shelf.documents.files.create("me", "big", str, endless())
    assert read <= 1_100_000
    assert shelf.contents() == set()


async def test_an_upload_that_breaks_off_leaves_nothing(shelf: Shelf) -> None:
    started = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield bytes(300_000)
        started.set()
        await asyncio.Event().wait()

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise BadRequest("the client is gone")

    with pytest.raises(BadRequest):
        await shelf.documents.files.create("me", "a", str, broken())
    task = asyncio.ensure_future(shelf.documents.files.create("me", "a", str, stuck()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert shelf.contents() == set()


@pytest.mark.parametrize("step", ["begin", "write", "finish"])
async def test_who_leaves_while_a_thread_works_for_the_upload_leaves_nothing(
    shelf: Shelf, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    owner = Blobs if step == "begin" else Upload
    real = getattr(owner, step)

    def slow(*args: Any) -> Any:
        reached.set()
        assert go_on.wait(10)
        return real(*args)

    monkeypatch.setattr(owner, step, slow)
    task = asyncio.ensure_future(shelf.documents.files.create("me", "a", lambda: "assistants", pieces(b"text")))
    assert await asyncio.to_thread(reached.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert shelf.contents() == set()


async def test_some_space_stays_free(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "files", free=lambda _: RESERVE + 5)
    blobs.begin("file-" + "0" * 24, 5).abort()
    with pytest.raises(DiskFull) as caught:
        blobs.begin("file-" + "0" * 24, 6)
    assert caught.value.detail == {"need": RESERVE + 6, "have": RESERVE + 5}


@pytest.mark.parametrize("suffix", [".part", ".gone"])
async def test_what_a_power_cut_left_is_settled_by_the_rows(shelf: Shelf, suffix: str) -> None:
    kept = await shelf.upload("a", "kept")
    folder = shelf.folder / "files"
    (folder / kept.id).rename(folder / (kept.id + suffix))
    (folder / ("file-" + "0" * 24 + suffix)).write_bytes(b"nobody's")
    await shelf.close()
    await shelf.open()
    assert shelf.contents() == {kept.id}
    _, path = await shelf.documents.files.content("me", kept.id)
    assert path.read_bytes() == b"kept"


@given(st.text(max_size=60) | st.from_regex(r"file-[0-9a-f]{0,26}.{0,3}") | st.just("file-" + "a" * 24))
def test_only_an_id_becomes_a_path(name: str) -> None:
    folder = Path("/state/files")
    try:
        path = Blobs(folder).path(name)
    except NotFound:
        assert name != "file-" + "a" * 24
    else:
        assert path.parent == folder
        assert path.name == name
        assert len(name) == 29


@pytest.mark.parametrize(
    "verb",
    [
        lambda shelf, file: shelf.documents.files.get("other", file),
        lambda shelf, file: shelf.documents.files.content("other", file),
        lambda shelf, file: shelf.documents.files.delete("other", file),
        lambda shelf, file: shelf.documents.files.page("other", after=file),
    ],
)
async def test_another_account_finds_nothing(shelf: Shelf, verb: Callable[..., object]) -> None:
    file = await shelf.upload("mine", "secret")
    with pytest.raises(MongarsError) as caught:
        await verb(shelf, file.id)  # type: ignore[misc]
    assert isinstance(caught.value, NotFound)
    assert await shelf.documents.files.page("other") == ([], False)
    assert await shelf.documents.files.get("me", file.id) == file
