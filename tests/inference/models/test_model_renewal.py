"""What an older version of the reader kept of a file's header, after an update."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from fakes.gguf_files import ARRAY, STRING, build_gguf, llama_values
from fakes.model_source import FakeSource
from fakes.model_store import REF, Scene, pull
from fakes.tiny_decoder import scatter, write_decoder

from mongarsd.inference.models import store as module
from mongarsd.inference.models.formats import READER, Facts
from mongarsd.inference.models.manifest import Blob, InstalledModel, renewed
from mongarsd.inference.models.store import ModelStore

TOKENS = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
LONG_AGO = 1_700_000_000


def age(scene: Scene, **changes: Any) -> Path:
    """The one manifest, as an older version wrote it at another time."""
    (manifest,) = scene.files("manifests")
    entry = json.loads(manifest.read_text())
    del entry["reader"]
    manifest.write_text(json.dumps({key: value for key, value in (entry | changes).items() if value is not None}))
    os.utime(manifest, (LONG_AGO, LONG_AGO))
    return manifest


@pytest.fixture
async def store(scene: Scene) -> ModelStore:
    """With a model whose manifest knows nothing of its tokens."""
    body = build_gguf(llama_values(tokenizer__ggml__tokens=(ARRAY, (STRING, TOKENS))))
    scene.sources[REF] = FakeSource(body)
    await pull(scene.store())
    age(scene, infill=None, vocabulary=None)
    return scene.store()


async def test_it_is_read_again_once(scene: Scene, store: ModelStore) -> None:
    before = store.resolve("model")
    assert (before.infill, before.vocabulary, before.reader) == (False, 0, 0)
    await store.renew()
    after = store.resolve("model")
    assert (after.infill, after.vocabulary, after.reader) == (True, len(TOKENS), READER)
    assert (after.modified, after.source, after.digest) == (LONG_AGO, before.source, before.digest)
    (manifest,) = scene.files("manifests")
    written = manifest.stat().st_ino
    await store.renew()
    assert manifest.stat().st_ino == written


async def test_a_file_that_is_refused_now_keeps_its_entry(store: ModelStore, caplog: pytest.LogCaptureFixture) -> None:
    before = store.resolve("model")
    before.path.write_bytes(bytes(before.size))
    await store.renew()
    assert store.resolve("model") == before
    assert "the entry of model stays as an older version wrote it" in caplog.text


async def test_what_is_removed_meanwhile_does_not_come_back(
    scene: Scene, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def then_removed(model: InstalledModel) -> Blob:
        blob = renewed(model)
        store.remove(model.name)
        return blob

    monkeypatch.setattr(module, "renewed", then_removed)
    await store.renew()
    assert store.installed() == scene.files("manifests") == scene.files("blobs") == []


async def test_an_onnx_model_keeps_what_lay_beside_it(scene: Scene, tmp_path: Path) -> None:
    path = scatter(write_decoder(tmp_path / "m"))
    (path.parent / "config.json").write_text('{"max_position_embeddings": 777}')
    store = ModelStore(scene.root)
    async for _ in store.pull(f"file:{path}", "model"):
        pass
    before = store.resolve("model")
    assert (before.context_length, len(before.data)) == (777, 2)
    age(scene, vocabulary=None)
    store = ModelStore(scene.root)
    await store.renew()
    assert store.resolve("model").blob == before.blob


def test_more_facts_need_a_newer_reader() -> None:
    """Whoever adds one raises READER, so that it is read of the models that are installed."""
    assert (READER, len(Facts.__struct_fields__)) == (1, 21)
