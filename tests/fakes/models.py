"""The models of a node that has none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from msgspec import structs

from mongarsd.ground.errors import ModelNotFound, MongarsError
from mongarsd.ground.preset import Preset
from mongarsd.ground.status import AvailableModel, BoardStatus, ModelCard, ModelStatus, NodeStatus, PullProgress

TINY = ModelStatus(
    name="tiny",
    digest="sha256:" + "1" * 64,
    size=1000,
    context_length=2048,
    modified=1_700_000_000.5,
    parameters=134_515_008,
    architecture="llama",
    capabilities=("completion", "tools"),
)


class FakeModels:
    """`calls` lists what was asked for; `steps` is what a pull says, and `fail` how it ends."""

    def __init__(self, models: Sequence[ModelStatus] = (TINY,)) -> None:
        self.models = {model.name: model for model in models}
        self.calls: list[tuple[str, ...]] = []
        self.steps: list[PullProgress] = [PullProgress(status="pulling", total=2, completed=1)]
        self.fail: MongarsError | None = None

    def list(self) -> list[ModelStatus]:
        return list(self.models.values())

    def get(self, name: str) -> ModelStatus:
        for model in self.models.values():
            if name.removesuffix(":latest") in (model.name, model.digest):
                return model
        raise ModelNotFound(f"there is no model {name[:64]!r} here; see the list")

    def available(self) -> list[AvailableModel]:
        return [
            AvailableModel(
                name="tiny", title="Tiny", parameters=9, context=64, size=1000, ram=2000, licence="MIT", installed=True
            )
        ]

    async def pull(self, ref: str, name: str | None) -> AsyncIterator[PullProgress]:
        self.calls.append(("pull", ref, name or ""))
        for step in self.steps:
            yield step
        if self.fail:
            raise self.fail
        yield PullProgress(status="success")

    async def remove(self, name: str) -> None:
        del self.models[self.get(name).name]

    async def load(self, name: str) -> None:
        self.calls.append(("load", self.get(name).name))

    async def unload(self, name: str) -> None:
        self.calls.append(("unload", self.get(name).name))
        if self.fail:
            raise self.fail

    def keep_alive(self, name: str, seconds: float) -> None:
        self.calls.append(("keep_alive", self.get(name).name, f"{seconds:g}"))

    async def card(self, name: str) -> ModelCard:
        return ModelCard(format="gguf", template="{{ messages }}", info={"general.architecture": "llama"})

    async def preset(self, name: str, preset: Preset) -> None:
        self.models[name] = structs.replace(self.get(preset.model), name=name, preset=preset)

    async def copy(self, name: str, new: str) -> None:
        self.models[new] = structs.replace(self.get(name), name=new)


def node_status() -> NodeStatus:
    return NodeStatus(
        version="0.1.0",
        pid=1,
        uptime=1.0,
        listen=("127.0.0.1:8420",),
        state_dir="/var/lib/mongarsd",
        memory=1,
        board=BoardStatus(name="fake", cores=4, memory_total=4, memory_available=2),
        models=(TINY,),
        recommendation=(),
    )
