"""The models of this node: what the store has on disk, joined with what the pool has in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from msgspec import structs

from mongarsd.daemon.default_model import Arrival
from mongarsd.ground.errors import BadRequest, Conflict, InvalidModel, ModelNotFound
from mongarsd.ground.preset import Preset
from mongarsd.ground.status import AvailableModel, ModelCard, ModelStatus, PullProgress
from mongarsd.inference.models.card import read_card
from mongarsd.inference.models.formats import capabilities
from mongarsd.inference.models.manifest import InstalledModel
from mongarsd.inference.models.presets import Stored
from mongarsd.inference.models.store import ModelStore
from mongarsd.inference.pool.pool import Pool
from mongarsd.inference.pool.status import WorkerStatus


class NodeModels:
    """Implements `mongarsd.api.parts.Models`."""

    def __init__(self, store: ModelStore, pool: Pool, arrival: Arrival) -> None:
        self._store, self._pool, self._arrival = store, pool, arrival

    def list(self) -> list[ModelStatus]:
        workers = {worker.digest: worker for worker in self._pool.status()}
        models = [self._join(model, workers.get(model.base or model.digest)) for model in self._store.installed()]
        by_digest = {model.digest: model for model in models}
        presets = (_named(stored, by_digest.get(stored.preset.model)) for stored in self._store.presets.all())
        return [*models, *(preset for preset in presets if preset)]

    def get(self, name: str) -> ModelStatus:
        """Raises Loading for the default model while it is being fetched."""
        model = self._resolve(name)
        stored = self._store.presets.find(name)
        worker = next((w for w in self._pool.status() if w.digest == (model.base or model.digest)), None)
        status = self._join(model, worker)
        return (stored and _named(stored, status)) or status

    def available(self) -> tuple[AvailableModel, ...]:
        have = {model.name for model in self._store.installed()}
        return tuple(
            AvailableModel(
                name=entry.name,
                title=entry.title,
                parameters=entry.parameters,
                context=entry.context,
                size=entry.size,
                ram=entry.ram,
                licence=entry.licence,
                installed=entry.name in have,
                notes=entry.notes,
            )
            for entry in self._store.catalogue
        )

    def pull(self, ref: str, name: str | None) -> AsyncIterator[PullProgress]:
        return self._store.pull(ref, name)

    async def remove(self, name: str) -> None:
        """Raises Conflict while the model is in memory. Of a preset only itself."""
        if stored := self._store.presets.find(name):
            await asyncio.to_thread(self._store.presets.remove, stored.name)
            return
        model = self._resolve(name)
        if any(worker.digest == model.digest and worker.state != "failed" for worker in self._pool.status()):
            raise Conflict(f"the model {model.name} is loaded; unload it first (mongarsctl models unload {model.name})")
        await asyncio.to_thread(self._store.remove, name)  # freeing gigabytes on a microSD card takes a moment

    async def load(self, name: str) -> None:
        """An adapter's base."""
        model = self._resolve(name)
        await self._pool.load(model.base or model.digest)

    async def unload(self, name: str) -> None:
        """Also of a model that is no longer installed. Raises BadRequest for an adapter."""
        with contextlib.suppress(ModelNotFound, InvalidModel):
            model = self._resolve(name)
            if model.adapter:
                raise BadRequest(f"{name} is an adapter and goes with its model: unload that", param="name")
            name = model.digest
        await self._pool.unload(name)

    def keep_alive(self, name: str, seconds: float) -> None:
        self._pool.set_keep_alive(name, seconds)

    async def card(self, name: str) -> ModelCard:
        return await asyncio.to_thread(read_card, self._resolve(name))

    async def preset(self, name: str, preset: Preset) -> None:
        await asyncio.to_thread(self._store.preset, name, preset)

    async def copy(self, name: str, new: str) -> None:
        await asyncio.to_thread(self._store.copy, name, new)

    def _join(self, model: InstalledModel, worker: WorkerStatus | None) -> ModelStatus:
        return _join(model, worker, self._pool.loads(model.base or model.digest))

    def _resolve(self, name: str) -> InstalledModel:
        """A preset's model."""
        try:
            if stored := self._store.presets.find(name):
                return self._store.resolve(stored.preset.model)
            return self._store.resolve(name)
        except ModelNotFound:
            entry = self._store.catalogue.find(name)
            self._arrival.raise_if_coming(entry.name if entry else name)
            raise


def _named(stored: Stored, model: ModelStatus | None) -> ModelStatus | None:
    """The model under a preset's name; None when it has gone."""
    if model is None:
        return None
    return structs.replace(model, name=stored.name, preset=stored.preset, modified=stored.modified)


def _join(model: InstalledModel, worker: WorkerStatus | None, loads: int) -> ModelStatus:
    facts: dict[str, Any] = {
        name: value for name, value in structs.asdict(model).items() if name in ModelStatus.__struct_fields__
    }
    facts["capabilities"] = capabilities(model)
    if model.adapter and worker and not model.problem:
        facts |= {name: getattr(worker, name) for name in ("state", "error", "context")}
    elif worker and not model.adapter:  # its fields have the names of ModelStatus's
        facts |= structs.asdict(worker)
        facts["name"] = model.name
    elif model.problem:
        facts |= {"state": "failed", "error": model.problem}
    return ModelStatus(**facts, loads=loads)
