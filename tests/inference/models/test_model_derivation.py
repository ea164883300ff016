"""A model that is requantized when it arrives, seen from the store."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from fakes.model_store import BODY, REF, SHA256, SMALLER, Scene, pull

from mongarsd.ground.errors import (
    DiskFull,
    InvalidModel,
    SourceUnavailable,
)
from mongarsd.inference.models.catalogue import Origin
from mongarsd.inference.models.disk import Disk


async def test_derived_model(scene: Scene) -> None:
    scene.knows(Origin(ref=REF, sha256=SHA256, requantize="Q8_0"))
    store = scene.store()
    await pull(store, "tiny")
    model = store.resolve("tiny")
    assert (model.derivation, model.source_digest) == ("Q8_0", f"sha256:{SHA256}")
    assert model.digest == f"sha256:{hashlib.sha256(SMALLER).hexdigest()}"
    assert scene.files("blobs") == [model.path]  # the source file is gone
    assert scene.files("partial") == []


@pytest.mark.parametrize("error", [InvalidModel("no"), DiskFull("full")])
async def test_failed_requantization_leaves_nothing(scene: Scene, error: Exception) -> None:
    scene.knows(Origin(ref=REF, sha256=SHA256, requantize="Q8_0"))
    scene.interrupt = error
    with pytest.raises(type(error)):
        await pull(scene.store(), "tiny")
    assert scene.files("blobs") == scene.files("manifests") == scene.files("partial") == []


async def test_interrupted_requantization_does_not_download_again(scene: Scene) -> None:
    scene.knows(Origin(ref=REF, sha256=SHA256, requantize="Q8_0"))
    scene.sources[REF].resumable = False
    scene.interrupt = asyncio.CancelledError()
    with pytest.raises(SourceUnavailable, match="stopped"):
        await pull(scene.store(), "tiny")
    scene.interrupt = None
    await pull(scene.store(), "tiny")
    assert scene.sources[REF].sent == len(BODY)
    assert scene.store().resolve("tiny").derivation == "Q8_0"


async def test_requantization_needs_room_for_two(scene: Scene) -> None:
    class Small(Disk):
        def free(self, path: Path) -> int:
            return len(BODY) * 2

    scene.knows(Origin(ref=REF, requantize="Q8_0"))
    with pytest.raises(DiskFull):
        await pull(scene.store(Small()), "tiny")
    assert scene.sources[REF].sent == 0
