"""From which source a model comes, and what is believed of what it sends."""

from __future__ import annotations

import pytest
from fakes.model_source import FakeSource
from fakes.model_store import BODY, REF, SECOND, SHA256, SMALLER, Scene, pull

from mongarsd.ground.errors import (
    InvalidModel,
    NotFound,
    SourceUnavailable,
    VerificationFailed,
)
from mongarsd.inference.models.catalogue import Origin


async def test_pinned_model_is_skipped_the_next_time(scene: Scene) -> None:
    scene.knows(Origin(ref=REF, sha256=SHA256, requantize="Q8_0"))
    await pull(scene.store(), "tiny")
    lines = await pull(scene.store(offline=True), "tiny")
    assert [line.status for line in lines] == ["success"]
    assert (scene.sources[REF].offers, scene.requantized) == (1, 1)


async def test_moving_source_is_asked_again_but_not_fetched_again(scene: Scene) -> None:
    scene.knows(Origin(ref=REF, requantize="Q8_0"))
    store = scene.store()
    await pull(store, "tiny")
    await pull(store, "tiny")
    assert (scene.sources[REF].offers, scene.sources[REF].sent, scene.requantized) == (2, len(BODY), 1)


async def test_new_version_replaces_the_old_file(scene: Scene) -> None:
    store = scene.store()
    await pull(store)
    scene.sources[REF] = FakeSource(SMALLER)
    await pull(store)
    assert store.resolve("model").quantization == "Q8_0"
    assert len(scene.files("blobs")) == 1


async def test_next_origin_when_one_fails(scene: Scene) -> None:
    scene.knows(Origin(ref=REF), Origin(ref=SECOND))
    scene.sources[REF].error = SourceUnavailable("down")
    scene.sources[SECOND] = FakeSource(BODY, ref=SECOND)
    store = scene.store()
    await pull(store, "tiny")
    assert store.resolve("tiny").source == SECOND


async def test_all_origins_fail(scene: Scene) -> None:
    scene.knows(Origin(ref=REF), Origin(ref=SECOND))
    scene.sources[REF].error = SourceUnavailable("It is down.")
    scene.sources[SECOND] = FakeSource(BODY, ref=SECOND, error=NotFound("It is gone."))
    with pytest.raises(SourceUnavailable, match=r"No source has it. It is down. It is gone."):
        await pull(scene.store(), "tiny")


async def test_offline(scene: Scene) -> None:
    with pytest.raises(SourceUnavailable, match="offline"):
        await pull(scene.store(offline=True))
    assert scene.sources[REF].offers == 0
    scene.sources[REF].remote = False
    await pull(scene.store(offline=True))


async def test_wrong_bytes_are_thrown_away(scene: Scene) -> None:
    scene.knows(Origin(ref=REF, sha256="0" * 64))
    scene.sources[REF].states_hash = False
    with pytest.raises(VerificationFailed, match="thrown away"):
        await pull(scene.store(), "tiny")
    assert scene.files("blobs") == scene.files("manifests") == scene.files("partial") == []


async def test_another_hash_than_the_catalogues_is_refused_before_the_download(scene: Scene) -> None:
    scene.knows(Origin(ref=REF, sha256="0" * 64))
    with pytest.raises(VerificationFailed, match="not the file the catalogue knows"):
        await pull(scene.store(), "tiny")
    assert scene.sources[REF].sent == 0


@pytest.mark.parametrize("body", [b"<html>" + bytes(500), BODY[:300], BODY[:-100]])
async def test_what_is_no_model_never_becomes_one(scene: Scene, body: bytes) -> None:
    scene.sources[REF] = FakeSource(body)
    with pytest.raises(InvalidModel):
        await pull(scene.store())
    assert scene.files("blobs") == scene.files("manifests") == scene.files("partial") == []


async def test_source_that_sends_too_much(scene: Scene) -> None:
    class Liar(FakeSource):
        async def offer(self) -> object:  # type: ignore[override]
            offer = await super().offer()
            return type(offer)(identity="x", size=100)

    scene.sources[REF] = Liar(BODY)
    with pytest.raises(VerificationFailed, match="more than the 100 bytes"):
        await pull(scene.store())
    assert scene.files("partial") == []
