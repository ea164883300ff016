from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes.gguf_files import build_gguf
from fakes.sink import MemorySink

from mongarsd.ground.errors import BadRequest, InvalidModel, NotFound, SourceUnavailable
from mongarsd.inference.models.sources.file import FileSource


async def test_copy(tmp_path: Path) -> None:
    path = tmp_path / "a model.gguf"
    path.write_bytes(build_gguf())
    source = FileSource.parse(str(path))
    sink = MemorySink(tmp_path, b"left over")
    offer = await source.offer()
    await source.fetch(offer, sink)
    assert bytes(sink.data) == path.read_bytes()
    assert offer.size == sink.size == len(sink.data)


async def test_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(build_gguf())
    (tmp_path / "link.gguf").symlink_to("blob")
    assert (await FileSource.parse(str(tmp_path / "link.gguf")).offer()).size


async def test_what_is_no_model_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"root:x:0:0:")
    with pytest.raises(InvalidModel):
        await FileSource.parse(str(tmp_path / "a.gguf")).offer()


async def test_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await FileSource.parse(str(tmp_path / "none.gguf")).offer()


async def test_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(InvalidModel, match="not a regular file"):
            await FileSource.parse(str(path)).offer()


async def test_through_a_file_as_if_it_were_a_folder(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(SourceUnavailable, match="permissions"):
        await FileSource.parse(str(tmp_path / "f" / "m.gguf")).offer()


async def test_shrinking_file(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(build_gguf())

    class Shrinking(MemorySink):
        async def begin(self, size: int | None) -> int:
            path.write_bytes(b"short")
            return await super().begin(size)

    source = FileSource.parse(str(path))
    with pytest.raises(SourceUnavailable, match="shorter"):
        await source.fetch(await source.offer(), Shrinking(tmp_path))


@pytest.mark.parametrize("rest", ["", "model.gguf", "./m.gguf", "/a/../m.gguf", "/a\0.gguf", "/a\n.gguf", "~/m.gguf"])
def test_bad_references(rest: str) -> None:
    with pytest.raises(BadRequest):
        FileSource.parse(rest)
