"""What is removed, copied and left while a pull is between two of its steps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest
from fakes.model_source import FakeSource
from fakes.model_store import BODY, REF, SECOND, SHA256, SMALLER, Plenty, Scene, pull, wait_until
from fakes.tiny_onnx import tiny_onnx, tokenizer

from mongarsd.ground.errors import InvalidModel, ModelNotFound
from mongarsd.ground.preset import Preset
from mongarsd.ground.status import PullProgress
from mongarsd.inference.models import manifest, receive
from mongarsd.inference.models.catalogue import Beside, Catalogue, Origin
from mongarsd.inference.models.installed import Installed
from mongarsd.inference.models.manifest import InstalledModel
from mongarsd.inference.models.store import ModelStore

DERIVED = Origin(ref=REF, sha256=SHA256, requantize="Q8_0")


def working() -> bool:
    return any(task.get_name().startswith("models.pull") for task in asyncio.all_tasks())


async def arrived(lines: AsyncGenerator[PullProgress, None]) -> None:
    """The file is among the blobs, the manifest not yet written: that waits for the next line to be asked for."""
    await anext(lines)
    await wait_until(lambda: not working())


async def finish(lines: AsyncGenerator[PullProgress, None]) -> None:
    assert [line.status async for line in lines][-1] == "success"


@pytest.mark.parametrize("origin", [Origin(ref=REF), DERIVED])
async def test_another_name_of_the_same_file_is_removed_before_the_manifest(scene: Scene, origin: Origin) -> None:
    scene.knows(origin)
    store = scene.store()
    await pull(store, "tiny", name="one")
    async with aclosing(store.pull("tiny", "two")) as lines:
        await arrived(lines)
        store.remove("one")
        await finish(lines)
    assert store.resolve("two").path.exists()
    store.remove("two")
    assert scene.files("blobs") == []


async def test_one_of_two_pulls_is_done_and_removed_before_the_other_has_its_manifest(scene: Scene) -> None:
    store = scene.store()
    async with aclosing(store.pull(REF, "one")) as one, aclosing(store.pull(REF, "two")) as two:
        await anext(one)
        await arrived(two)
        await finish(one)
        store.remove("one")
        await finish(two)
    assert store.resolve("two").path.read_bytes() == BODY


async def test_a_name_that_gets_another_file_before_the_manifest(scene: Scene) -> None:
    scene.sources[SECOND] = FakeSource(SMALLER, ref=SECOND)
    store = scene.store()
    await pull(store, name="one")
    async with aclosing(store.pull(REF, "two")) as lines:
        await arrived(lines)
        await pull(store, SECOND, name="one")
        await finish(lines)
    assert store.resolve("two").path.read_bytes() == BODY


async def test_a_tokenizer_that_a_pull_counts_on_outlives_the_model_it_came_with(scene: Scene) -> None:
    first, second, beside = "hf:o/r/a.onnx", "hf:o/r/b.onnx", "hf:o/r/tokenizer.json"
    for name, ref in (("a", first), ("b", second)):
        scene.knows(Origin(ref=ref, files=(Beside(role="tokenizer", ref=beside),)), name=name, aliases=())
    scene.sources |= {
        first: FakeSource(tiny_onnx(), ref=first),
        second: FakeSource(tiny_onnx(rows=11), ref=second, gate=asyncio.Event()),
        beside: FakeSource(tokenizer(), ref=beside),
    }
    store = scene.store()
    await pull(store, "a")
    task = asyncio.create_task(pull(store, "b"))
    await wait_until(lambda: scene.sources[second].sent > 0)
    store.remove("a")
    gate = scene.sources[second].gate
    assert gate
    gate.set()
    await task
    assert store.resolve("b").paths["tokenizer"].read_bytes() == tokenizer()
    assert scene.sources[beside].sent == len(tokenizer()), "it was not fetched again"
    store.remove("b")
    assert scene.files("blobs") == []


async def test_a_pull_that_fails_leaves_no_tokenizer(scene: Scene) -> None:
    model, beside = "hf:o/r/a.onnx", "hf:o/r/tokenizer.json"
    scene.knows(Origin(ref=model, files=(Beside(role="tokenizer", ref=beside),)))
    scene.sources |= {model: FakeSource(b"GGUF", ref=model), beside: FakeSource(tokenizer(), ref=beside)}
    with pytest.raises(InvalidModel):
        await pull(scene.store(), "tiny")
    assert scene.files("blobs") == []


@pytest.mark.parametrize("other", [True, False])
async def test_leaving_before_the_manifest_leaves_no_file_that_nobody_has(scene: Scene, *, other: bool) -> None:
    store = scene.store()
    if other:
        await pull(store, name="other")
    async with aclosing(store.pull(REF)) as lines:
        await arrived(lines)
    assert [model.name for model in store.installed()] == ["other"] * other
    assert len(scene.files("blobs")) == other
    assert await pull(store)


async def test_cancelled_while_the_file_is_placed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    placing, go_on = threading.Event(), threading.Event()

    def sync(folder: Path) -> None:
        placing.set()
        assert go_on.wait(30)

    monkeypatch.setattr(receive, "sync_folder", sync)
    store = scene.store()
    task = asyncio.create_task(pull(store))
    assert await asyncio.to_thread(placing.wait, 30)
    (work,) = (each for each in asyncio.all_tasks() if each.get_name().startswith("models.pull"))
    task.cancel()
    await wait_until(lambda: work.cancelling() > 0)
    go_on.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert scene.files("blobs") == scene.files("partial") == []
    await pull(store)
    assert store.resolve("model").path.read_bytes() == BODY


class Interfering(ModelStore):
    """As soon as a model was found, another thread removes it: at once, or as soon as it may."""

    remover: threading.Thread | None = None

    def resolve(self, name: str) -> InstalledModel:
        found = super().resolve(name)
        if self.remover is None:
            self.remover = threading.Thread(target=self.remove, args=(name,))
            self.remover.start()
            if not self._changing.locked():
                self.remover.join()
        return found


async def test_a_copy_of_a_model_that_is_just_removed_works(scene: Scene) -> None:
    await pull(scene.store())
    store = Interfering(scene.root, Catalogue(scene.entries), disk=Plenty(), source=scene.sources.__getitem__)
    store.copy("model", "new")
    assert store.remover
    store.remover.join()
    assert [(model.name, model.problem) for model in store.installed()] == [("new", "")]


async def test_a_preset_of_a_model_that_was_just_removed_is_refused(scene: Scene) -> None:
    store = scene.store()
    await pull(store)
    preset = Preset(model=store.resolve("model").digest, parent="model")
    store.remove("model")
    with pytest.raises(ModelNotFound, match="no model 'model'; installed: none"):
        store.preset("mine", preset)
    assert scene.files("presets") == []


async def test_a_model_that_is_removed_while_it_is_looked_at_is_gone_not_broken(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = scene.store()
    await pull(store)
    model = store.resolve("model")

    def size(path: Path) -> None:
        scene.files("manifests")[0].unlink()
        model.path.unlink()

    monkeypatch.setattr(manifest, "_size", size)
    assert store.installed() == []


async def test_a_look_from_another_process_takes_nothing_from_a_pull(scene: Scene) -> None:
    gate = scene.sources[REF].gate = asyncio.Event()
    scene.sources[SECOND] = FakeSource(SMALLER, ref=SECOND)
    store = scene.store()
    await pull(store, SECOND, name="other")
    task = asyncio.create_task(pull(store))
    await wait_until(lambda: scene.sources[REF].sent > 0)
    before = scene.files("partial")
    assert any(path.suffix == ".scratch" for path in before)
    assert Installed(scene.root, Catalogue(scene.entries)).resolve("other").path.exists()
    assert scene.files("partial") == before
    gate.set()
    await task
    assert store.resolve("model").path.exists()
