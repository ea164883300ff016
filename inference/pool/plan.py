"""What the pool is told: which model, with which knobs, within which bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from msgspec import Struct

from mongarsd.inference.worker.protocol import AdapterPlan, CachePlan, Kind


class Model(Protocol):
    """What the pool needs to know of an installed model."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def path(self) -> Path: ...

    @property
    def size(self) -> int:
        """Bytes on disk."""
        ...

    @property
    def base(self) -> str:
        """Digest of the model that an adapter is for; "" = it is a model itself."""
        ...


class WorkerPlan(Struct, frozen=True, kw_only=True):
    """The knobs one worker is started with."""

    slots: int
    context: int  # tokens a slot
    decode_threads: int
    prefill_threads: int
    gpu_layers: int = 0
    memory: int  # bytes it will need: weights, KV cells, compute buffers, cache
    cache: CachePlan = CachePlan()
    adapters: AdapterPlan = AdapterPlan()  # their memory is counted when they are used
    files: dict[str, str] = {}  # paths of what the model needs beside its weights, by role
    kind: Kind = "chat"
    backend: str = ""  # empty = that of PoolSettings


class PoolSettings(Struct, frozen=True, kw_only=True):
    """Bounds that hold for every worker."""

    memory_budget: int  # bytes for all workers together
    workers: int = 16  # models loaded at the same time, at most
    queue: int = 64  # jobs that may wait, each model
    room_wait: float = 60.0  # seconds a request waits for models that are busy to leave room for its own: two answers
    max_gap: float = 0.25  # seconds a running stream may pause for a prefill chunk
    speculation: bool = True  # draft tokens where that is faster
    live_threads: bool = True  # fewer threads while other programs keep cores busy
    keep_alive: float = -1.0  # seconds idle before unload; -1 = never
    hang_timeout: float = 20.0  # seconds of silence after which a ready worker is replaced
    load_timeout: float = 600.0  # seconds; 8 GB from a slow microSD card (20 MB/s) takes 400
    cool_down: float = 15.0  # seconds a failed model is left alone before a request tries it again
    backend: str = "llama"
