"""What is installed under which name: found, listed, removed, and what damage does not touch."""

from __future__ import annotations

import os
import stat

import pytest
from fakes.model_source import FakeSource
from fakes.model_store import BODY, REF, SECOND, SHA256, SMALLER, Scene, pull

from mongarsd.ground.errors import (
    BadRequest,
    InvalidModel,
    ModelNotFound,
)
from mongarsd.ground.preset import Preset
from mongarsd.ground.status import PullProgress
from mongarsd.inference.models.catalogue import Origin


async def test_pull_a_source(scene: Scene) -> None:
    store = scene.store()
    lines = await pull(store)
    assert lines[-1] == PullProgress(status="success", digest=f"sha256:{SHA256}", total=len(BODY), completed=len(BODY))
    assert any(line.status == "downloading" and line.total == len(BODY) for line in lines)
    model = store.resolve("model")
    assert (model.name, model.digest, model.size, model.source) == ("model", f"sha256:{SHA256}", len(BODY), REF)
    assert (model.architecture, model.quantization, model.licence, model.layers) == ("llama", "Q4_0", "mit", 2)
    assert model.path.read_bytes() == BODY
    assert store.resolve(model.digest) == model
    assert store.installed() == [model]
    assert scene.files("partial") == []


async def test_everything_is_private(scene: Scene) -> None:
    await pull(scene.store())
    for path in (scene.root / "models").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((scene.root / "models").stat().st_mode) == 0o700


async def test_own_name(scene: Scene) -> None:
    store = scene.store()
    await pull(store, name="Mine")
    assert [model.name for model in store.installed()] == ["Mine"]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "x" * 65, "a\0b"])
async def test_bad_name(scene: Scene, name: str) -> None:
    store = scene.store()
    with pytest.raises(BadRequest):
        await pull(store, name=name)
    with pytest.raises(ModelNotFound):
        store.resolve(name)
    with pytest.raises(ModelNotFound):
        store.remove(name)
    assert scene.sources[REF].offers == 0


async def test_unknown_name_lists_what_there_is(scene: Scene) -> None:
    scene.knows(Origin(ref=REF))
    with pytest.raises(ModelNotFound, match=r"not in the catalogue \(tiny\)"):
        await pull(scene.store(), "gpt-17")
    with pytest.raises(ModelNotFound, match="known but not installed: pull it first"):
        scene.store().resolve("tiny:1b")
    with pytest.raises(ModelNotFound, match="installed: none"):
        scene.store().resolve("gpt-17")


async def test_catalogue_name_and_alias(scene: Scene) -> None:
    scene.knows(Origin(ref=REF, sha256=SHA256))
    store = scene.store()
    await pull(store, "tiny:1b")
    assert store.resolve("tiny").name == store.resolve("TINY:1b").name == store.resolve("tiny:latest").name == "tiny"


async def test_remove(scene: Scene) -> None:
    store = scene.store()
    await pull(store, name="one")
    await pull(store, name="two")
    store.remove("one")
    assert store.resolve("two").path.exists()
    store.remove("two")
    assert store.installed() == scene.files("blobs") == []
    with pytest.raises(ModelNotFound):
        store.remove("two")


async def test_remove_by_digest_and_alias(scene: Scene) -> None:
    scene.knows(Origin(ref=REF))
    store = scene.store()
    await pull(store, "tiny")
    store.remove("tiny:1b")
    await pull(store, "tiny")
    store.remove(f"sha256:{SHA256}")
    assert store.installed() == []


@pytest.mark.parametrize("fault", ["missing", "short"])
async def test_broken_blob_is_reported_and_the_rest_works(scene: Scene, fault: str) -> None:
    scene.sources[SECOND] = FakeSource(SMALLER, ref=SECOND)
    store = scene.store()
    await pull(store, name="good")
    await pull(store, SECOND, name="bad")
    path = store.resolve("bad").path
    path.unlink() if fault == "missing" else path.write_bytes(b"GGUF")
    store = scene.store()
    assert [(model.name, bool(model.problem)) for model in store.installed()] == [("bad", True), ("good", False)]
    with pytest.raises(InvalidModel, match="pull it again"):
        store.resolve("bad")
    assert store.resolve("good").path.exists()
    await pull(store, SECOND, name="bad")
    assert store.resolve("bad").path.read_bytes() == SMALLER


async def test_a_manifest_that_cannot_be_read_is_told_and_nothing_is_deleted(scene: Scene) -> None:
    await pull(scene.store())
    (manifest,) = scene.files("manifests")
    aside = manifest.rename(manifest.with_suffix(".aside"))
    manifest.mkdir()
    store = scene.store()
    with pytest.raises(InvalidModel, match=r"cannot be read \(.*Is a directory.*\): give it to mongarsd's user"):
        store.resolve("model")
    manifest.rmdir()
    aside.rename(manifest)
    assert store.resolve("model").path.exists()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"digest":"../../etc/passwd"}', b"\xff", b"x" * 100_000])
async def test_damaged_manifest_is_reported_and_nothing_is_deleted(scene: Scene, text: bytes) -> None:
    await pull(scene.store())
    (manifest,) = scene.files("manifests")
    manifest.write_bytes(text)
    store = scene.store()
    assert "damaged" in store.installed()[0].problem
    assert len(scene.files("blobs")) == 1
    with pytest.raises(InvalidModel, match="damaged"):
        store.resolve("model")
    store.remove("model")
    assert store.installed() == []


@pytest.mark.parametrize("other", [True, False])
async def test_presets_go_with_a_model_that_is_replaced(scene: Scene, *, other: bool) -> None:
    store = scene.store()
    await pull(store)
    before = store.resolve("model").digest
    if other:
        store.copy("model", "other")
    store.preset("mine", Preset(model=before, system="Rhyme."))
    scene.sources[REF] = FakeSource(SMALLER)
    await pull(store)
    after = store.resolve("model").digest
    assert after != before
    stored = store.presets.find("mine")
    assert stored
    assert stored.preset == Preset(model=before if other else after, system="Rhyme.")
    assert store.resolve(stored.preset.model)


async def test_start_removes_what_a_crash_left(scene: Scene) -> None:
    await pull(scene.store())
    models = scene.root / "models"
    orphan = models / "blobs" / f"sha256-{'0' * 64}"
    old, young = models / "partial" / f"{'1' * 64}.part", models / "partial" / f"{'2' * 64}.part"
    for path in (orphan, old, young, models / "manifests" / "x.json.tmp"):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    (models / "partial" / f"{'3' * 64}.scratch").mkdir()
    (models / "blobs" / "README").write_bytes(b"not ours")
    store = scene.store()
    assert store.resolve("model").path.exists()
    assert scene.files("partial") == [young]
    assert not orphan.exists()
    assert (models / "blobs" / "README").exists()
    assert len(scene.files("manifests")) == 1
