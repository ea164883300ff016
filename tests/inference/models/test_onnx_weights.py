"""How many weights there are, and models whose weights lie in files of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fakes.tiny_decoder import scatter, write_decoder

from mongarsd.ground.errors import InvalidModel
from mongarsd.inference.models.manifest import InstalledModel
from mongarsd.inference.models.names import BESIDE
from mongarsd.inference.models.onnx_weights import Quantized, Tensor, count, files, place
from mongarsd.inference.models.sources import open_source
from mongarsd.inference.models.store import ModelStore

TABLE = Tensor(2, (64, 2, 16))  # 64 rows of 64 numbers of 4 bits
SCALES = Tensor(1, (64, 2))


def test_packed_weights_count_as_what_they_stand_for() -> None:
    tensors = {"w": TABLE, "s": SCALES, "norm": Tensor(1, (64,))}
    node = Quantized(("x", "w", "s"), "MatMulNBits", {"bits": 4, "K": 60, "N": 64})  # K is padded to 64
    assert count(tensors, [], [node]) == (60 * 64 + 64, "INT4")
    gathered = Quantized(("w", "ids", "s"), "GatherBlockQuantized", {"bits": 4})
    assert count(tensors, [], [gathered]) == (64 * 64 + 64, "INT4")
    assert count(tensors, [], [node, gathered])[0] >= 60 * 64 + 64, "a table that both read counts once"


@pytest.mark.parametrize("numbers", [{"bits": 0}, {"bits": 1 << 40}, {"K": 1 << 60, "N": 1 << 60}, {}])
def test_attributes_that_lie_do_no_harm(numbers: dict[str, int]) -> None:
    node = Quantized(("x", "w", "s"), "MatMulNBits", numbers)
    assert 0 < count({"w": TABLE, "s": SCALES}, [], [node])[0] <= 2 * TABLE.size + SCALES.size


def test_too_many_files_are_refused() -> None:
    one = Tensor(1, (1,))
    with pytest.raises(InvalidModel, match="at most 64"):
        files(place(one, {"location": f"{n}.onnx_data"}) for n in range(65))


async def pull(store: ModelStore, path: Path, name: str = "tiny") -> InstalledModel:
    async for _ in store.pull(f"file:{path}", name):
        pass
    return store.resolve(name)


async def test_files_of_weights_are_installed_and_removed_with_their_model(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "s")
    path = scatter(write_decoder(tmp_path / "m"))
    model = await pull(store, path)
    names = ("model.onnx_data", "model.onnx_data_1")
    for index, name in enumerate(names):
        assert model.paths[f"data{index}"].read_bytes() == (path.parent / name).read_bytes()
    assert model.weights > model.size > path.stat().st_size
    assert ModelStore(tmp_path / "s").resolve("tiny").weights == model.weights
    store.remove("tiny")
    assert not list((tmp_path / "s" / "models" / "blobs").iterdir())


async def test_the_digest_covers_the_files_of_weights(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "s")
    path = scatter(write_decoder(tmp_path / "m"))
    first = await pull(store, path)
    assert (await pull(store, path, "same")).digest == first.digest
    data = path.with_name("model.onnx_data")
    data.write_bytes(data.read_bytes()[:-1] + b"\x01")
    other = await pull(store, path, "other")
    assert other.digest != first.digest
    assert other.source_digest == first.source_digest, "the graphs are alike"


async def test_a_file_of_weights_that_is_missing_short_or_elsewhere_is_refused(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "s")
    path = scatter(write_decoder(tmp_path / "m"))
    data = path.with_name("model.onnx_data_1")
    content = data.read_bytes()
    data.write_bytes(content[:-1])
    with pytest.raises(InvalidModel, match=rf"has {len(content) - 1} bytes, but .* end at {len(content)}"):
        await pull(store, path)
    data.unlink()
    with pytest.raises(InvalidModel, match=r"model\.onnx_data_1, which is not beside it"):
        await pull(store, path)
    (tmp_path / "elsewhere").write_bytes(content)
    data.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidModel, match="leads out of its folder"):
        await pull(store, path)
    data.unlink()
    data.mkdir()
    with pytest.raises(InvalidModel, match="not a regular file"):
        await pull(store, path)
    assert not store.installed()


async def test_a_file_of_weights_that_vanished_is_a_problem_with_a_remedy(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "s")
    model = await pull(store, scatter(write_decoder(tmp_path / "m")))
    model.paths["data1"].unlink()
    with pytest.raises(InvalidModel, match="pull it again"):
        store.resolve("tiny")


def test_what_a_killed_worker_left_goes_at_the_next_start(tmp_path: Path) -> None:
    model = asyncio.run(pull(ModelStore(tmp_path / "s"), scatter(write_decoder(tmp_path / "m"))))
    left = Path(f"{model.path}.open")
    left.mkdir()
    (left / "model.onnx").hardlink_to(model.path)
    assert ModelStore(tmp_path / "s").resolve("tiny").path.exists()
    assert not left.exists()


@pytest.mark.parametrize("name", [*BESIDE.values(), "model.onnx_data", "model_q4.onnx_data_12", "model.onnx.data"])
def test_the_hub_is_asked_for_what_lies_beside_a_model(name: str) -> None:
    assert open_source(f"hf:o/r/onnx/{name}").file == f"onnx/{name}"
