"""A disk that is full, or refuses: said in a sentence, and nothing half is left."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from fakes.model_store import BODY, REF, Filling, Scene, pull

from mongarsd.ground.errors import (
    DiskFull,
    MongarsError,
)
from mongarsd.inference.models.disk import Disk


async def test_no_space_is_said_before_the_download(scene: Scene) -> None:
    class Small(Disk):
        def free(self, path: Path) -> int:
            return len(BODY)

    with pytest.raises(DiskFull, match="MB are needed") as caught:
        await pull(scene.store(Small()))
    assert caught.value.detail == {"need": int(len(BODY) * 1.05), "have": len(BODY)}
    assert scene.sources[REF].sent == 0
    assert scene.files("partial") == []


@pytest.mark.parametrize("room", [0, 100, len(BODY), len(BODY) + 10])
async def test_disk_full_in_the_middle_leaves_nothing(scene: Scene, room: int) -> None:
    with pytest.raises(DiskFull):
        await pull(scene.store(Filling(room)))
    assert scene.files("manifests") == scene.files("partial") == []
    assert scene.store().installed() == []
    assert scene.files("blobs") == []


@pytest.mark.parametrize("kind", ["partial", "blobs", "manifests"])
async def test_a_disk_that_refuses_is_told_in_a_sentence(
    scene: Scene, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(at: str) -> None:
        if f"models/{kind}" in at:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), at)

    store = scene.store()
    mkdir, rename = Path.mkdir, Path.rename

    def make(path: Path, mode: int = 0o777) -> None:
        refuses(str(path))
        mkdir(path, mode)

    def move(path: Path, target: Path) -> Path:
        refuses(str(target))
        return rename(path, target)

    monkeypatch.setattr(Path, "mkdir", make)
    monkeypatch.setattr(Path, "rename", move)
    with pytest.raises(MongarsError, match=f"models/{kind}.*: Read-only file system"):
        await pull(store)
    assert store.installed() == []
