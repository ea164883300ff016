"""LoRA adapters in the model store: named, found, removed, and refused before anything native sees them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.gguf_files import ARRAY, F32, F64, STRING, U32, Weights, build_gguf, llama_values
from msgspec import structs

from mongarsd.ground.errors import BadRequest, Conflict, InvalidModel, ModelNotFound, MongarsError
from mongarsd.inference.models.catalogue import load_catalogue
from mongarsd.inference.models.store import ModelStore

F16 = 1
Q, OUT, HEAD = "blk.0.attn_q.weight", "blk.0.attn_output.weight", "token_embd.weight"
BASE = (Weights(HEAD, (32, 4)), Weights(Q, (32, 64)), Weights(OUT, (64, 32)), Weights("blk.0.exps", (32, 4, 2)))


def header(**more: Any) -> dict[str, tuple[int, Any]]:
    values = {
        "general.type": (STRING, "adapter"),
        "general.architecture": (STRING, "llama"),
        "adapter.type": (STRING, "lora"),
        "adapter.lora.alpha": (F32, 8.0),
    }
    return {**values, **{key.replace("__", "."): value for key, value in more.items()}}


def parts(name: str, a: tuple[int, ...], b: tuple[int, ...], kind: int = F16) -> list[Weights]:
    return [Weights(f"{name}.lora_a", a, kind), Weights(f"{name}.lora_b", b, kind)]


def place(tensors: list[Weights] | tuple[Weights, ...]) -> list[Weights]:
    """Each 16 kB after the one before: more than any of these needs."""
    return [tensor._replace(offset=n << 14) for n, tensor in enumerate(tensors)]


GOOD = [*parts(Q, (32, 4), (4, 64)), *parts(OUT, (64, 4), (4, 32))]


class Scene:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ModelStore(folder / "state", load_catalogue(), offline=True)

    def file(self, name: str, data: bytes) -> str:
        (self.folder / name).write_bytes(data)
        return f"file:{self.folder / name}"

    async def pull(self, ref: str, name: str | None = None) -> None:
        async for _ in self.store.pull(ref, name):
            pass

    async def base(self, name: str = "base", tensors: tuple[Weights, ...] = BASE, **more: Any) -> None:
        data = build_gguf(llama_values(**more), place(tensors), data=1 << 17)
        await self.pull(self.file(f"{name}.gguf", data), name)

    def adapter(self, tensors: list[Weights] | None = None, **more: Any) -> str:
        return self.file(
            "poet.gguf", build_gguf(header(**more), place(GOOD if tensors is None else tensors), data=1 << 17)
        )

    def blobs(self) -> int:
        return len(list((self.folder / "state/models/blobs").iterdir()))


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    await scene.base()
    return scene


async def test_an_adapter_is_listed_under_its_base_and_removed(scene: Scene) -> None:
    await scene.pull(scene.adapter(), "base:poet")
    assert [model.name for model in scene.store.installed()] == ["base", "base:poet"]
    base, poet = scene.store.installed()
    assert (poet.base, poet.adapter, poet.architecture, poet.problem) == (base.digest, True, "llama", "")
    for name in ("base:poet", "base:poet:latest", f"{base.digest}:poet", poet.digest):
        assert scene.store.resolve(name).digest == poet.digest
    assert scene.store.resolve("base") == base
    again = ModelStore(scene.folder / "state", load_catalogue(), offline=True)  # cleans up, and finds it
    assert [model.name for model in again.installed()] == ["base", "base:poet"]
    scene.store.remove("base:poet")
    assert ([model.name for model in scene.store.installed()], scene.blobs()) == (["base"], 1)


async def test_the_only_model_that_fits_is_found(scene: Scene) -> None:
    await scene.base("qwen", general__architecture=(STRING, "qwen2"))
    await scene.pull(scene.adapter())
    assert scene.store.resolve("base:poet").name == "base:poet"
    await scene.base("twin", general__name=(STRING, "Twin"))
    with pytest.raises(BadRequest, match="fits several models \\(base, twin\\)"):
        await scene.pull(scene.adapter(), "other")


async def test_a_name_of_the_catalogue_names_the_base(scene: Scene) -> None:
    await scene.base("smollm2-135m-instruct", general__name=(STRING, "Small"))
    await scene.pull(scene.adapter(), "smollm2:135m:poet")
    assert scene.store.resolve("smollm2:135m:poet").name == "smollm2-135m-instruct:poet"
    assert scene.store.resolve("smollm2:135m").name == "smollm2-135m-instruct"


async def test_a_base_with_adapters_stays(scene: Scene) -> None:
    await scene.pull(scene.adapter(), "base:poet")
    with pytest.raises(Conflict, match="base:poet"):
        scene.store.remove("base")


async def test_a_base_that_was_replaced_leaves_its_adapters_with_a_problem(scene: Scene) -> None:
    await scene.pull(scene.adapter(), "base:poet")
    await scene.base("base", general__name=(STRING, "Newer"))
    with pytest.raises(InvalidModel, match="pull the adapter again"):
        scene.store.resolve("base:poet")
    await scene.pull(scene.adapter(), "base:poet")
    assert scene.store.resolve("base:poet").base == scene.store.resolve("base").digest


@pytest.mark.parametrize(
    "name", ["base:", ":poet", "base:a/b", "base:../x", "base:latest", "base:" + "x" * 65, "none:poet", "base:a:b", ""]
)
async def test_names_that_cannot_be(scene: Scene, name: str) -> None:
    with pytest.raises((BadRequest, ModelNotFound)):
        await scene.pull(scene.adapter(), name)
    assert ([model.name for model in scene.store.installed()], scene.blobs()) == (["base"], 1)


async def test_an_adapter_never_takes_the_name_of_something_else(scene: Scene) -> None:
    await scene.base("sha256")
    with pytest.raises(BadRequest, match="means something else"):
        await scene.pull(scene.adapter(), "sha256:" + "a" * 64)
    await scene.base("smollm2")
    with pytest.raises(BadRequest, match="means something else"):
        await scene.pull(scene.adapter(), "smollm2:135m")


async def test_a_whole_model_is_no_adapter(scene: Scene) -> None:
    other = scene.file("x.gguf", build_gguf(llama_values(general__name=(STRING, "X")), place(BASE), data=1 << 17))
    with pytest.raises(BadRequest, match="whole model"):
        await scene.pull(other, "base:x")
    assert scene.blobs() == 1


WRONG_BASE: list[tuple[str, Callable[[Scene], str]]] = [
    ("architecture", lambda scene: scene.adapter(general__architecture=(STRING, "qwen2"))),
    ("no tensor of it", lambda scene: scene.adapter(parts("blk.7.attn_q.weight", (32, 4), (4, 64)))),
    ("maps 32 numbers to 64", lambda scene: scene.adapter(parts(Q, (64, 4), (4, 64)))),
    ("maps 32 numbers to 64", lambda scene: scene.adapter(parts(Q, (32, 4), (4, 32)))),
    ("is its output too", lambda scene: scene.adapter(parts(HEAD, (4, 4), (4, 32)))),
    ("experts", lambda scene: scene.adapter(parts(Q, (32, 4, 2), (4, 64, 2)))),
    ("experts", lambda scene: scene.adapter(parts("blk.0.exps", (32, 4), (4, 4)))),
    ("experts", lambda scene: scene.adapter(parts("blk.0.exps", (32, 4, 2), (4, 4, 2)))),
]


@pytest.mark.parametrize(("why", "make"), WRONG_BASE)
async def test_one_for_another_base_is_a_bad_request(scene: Scene, why: str, make: Callable[[Scene], str]) -> None:
    with pytest.raises(BadRequest, match=why):
        await scene.pull(make(scene), "base:poet")
    assert ([model.name for model in scene.store.installed()], scene.blobs()) == (["base"], 1)


DAMAGED: list[tuple[str, Callable[[Scene], str]]] = [
    ("only lora", lambda scene: scene.adapter(adapter__type=(STRING, "dora"))),
    ("32-bit number", lambda scene: scene.adapter(adapter__lora__alpha=(U32, 8))),
    ("32-bit number", lambda scene: scene.adapter(adapter__lora__alpha=(F32, float("nan")))),
    ("32-bit number", lambda scene: scene.adapter(adapter__lora__alpha=(F64, 8.0))),
    ("aLoRA", lambda scene: scene.adapter(adapter__alora__invocation_tokens=(ARRAY, (U32, [1, 2])))),
    ("ranks 4 and 8", lambda scene: scene.adapter(parts(Q, (32, 4), (8, 64)))),
    ("no part of a LoRA", lambda scene: scene.adapter([Weights("blk.0.attn_norm.weight", (32,), F16)])),
    ("and not", lambda scene: scene.adapter(parts(Q, (32, 4), (4, 64))[:1])),
    ("has the type I32", lambda scene: scene.adapter(parts(Q, (32, 4), (4, 64), 26))),
    ("truncated", lambda scene: scene.file("cut.gguf", build_gguf(header(), place(GOOD), data=100))),
]


@pytest.mark.parametrize(("why", "make"), DAMAGED)
async def test_a_damaged_one_is_refused(scene: Scene, why: str, make: Callable[[Scene], str]) -> None:
    with pytest.raises(InvalidModel, match=why):
        await scene.pull(make(scene), "base:poet")
    assert scene.blobs() == 1


async def test_an_adapter_needs_a_model_first(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    with pytest.raises(MongarsError, match="no model is installed"):
        await scene.pull(scene.adapter())
    assert scene.blobs() == 0


async def test_equal_adapters_of_two_models_are_one_file(scene: Scene) -> None:
    await scene.base("twin", general__name=(STRING, "Twin"))
    await scene.pull(scene.adapter(), "base:poet")
    await scene.pull(scene.adapter(), "twin:poet")
    assert scene.blobs() == 3
    one, two = scene.store.resolve("base:poet"), scene.store.resolve("twin:poet")
    assert structs.replace(one, name="", base="", modified=0.0) == structs.replace(two, name="", base="", modified=0.0)
    scene.store.remove("base:poet")
    assert scene.store.resolve("twin:poet").path.exists()
