"""What crosses the pipe between the pool (daemon) and a worker. Frames: `mongarsd.ground.frames`.

The daemon sends Load once and first. The worker answers Ready or Refused (and exits after Refused). From then on it
sends an Output a step, and a Pulse about every `PULSE` seconds, between the steps of a long prefill too: a worker that
stays silent for `hang_timeout` is hung. End of file on the pipe means that the daemon is dead: exit.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from mongarsd.ground.errors import ErrorInfo
from mongarsd.ground.job import Event, Job

PULSE = 1.0  # seconds

#: What a model is for: "embedding" = texts to vectors, "rerank" = a score of how well a document answers a query.
Kind = Literal["chat", "embedding", "rerank"]


class CachePlan(Struct, frozen=True, kw_only=True):
    """The tiers of the prefix cache behind the KV cells. Bytes; 0 = off."""

    directory: str = ""
    ram: int = 0
    disk: int = 0
    disk_writes_per_day: int = 0


class AdapterPlan(Struct, frozen=True, kw_only=True):
    """Where LoRA adapters lie, as `sha256-<hex>`, and how much of them may be in memory. Bytes; 0 = none."""

    directory: str = ""
    bytes: int = 0


class Load(Struct, frozen=True, tag="load", kw_only=True):
    """Everything a worker needs; it reads no settings and no environment."""

    model: str  # digest
    path: str
    node: str  # the name that Started carries
    slots: int
    context: int  # tokens a slot
    decode_threads: int
    prefill_threads: int
    queue: int  # jobs that may wait
    max_gap: float  # seconds
    speculation: bool = True  # draft tokens where that is faster
    gpu_layers: int = 0
    live_threads: bool = True  # fewer threads while other programs keep cores busy
    files: dict[str, str] = {}  # paths of what the model needs beside its weights, by role
    cache: CachePlan = CachePlan()
    adapters: AdapterPlan = AdapterPlan()
    kind: Kind = "chat"
    backend: str = "llama"  # or "onnx"; or "fake", for tests of everything above the engine


class Submit(Struct, frozen=True, tag="submit"):
    job: Job


class Cancel(Struct, frozen=True, tag="cancel"):
    job: str


class Shrink(Struct, frozen=True, tag="shrink"):
    """Memory is short: give back about so many bytes of caches."""

    bytes: int


class Stop(Struct, frozen=True, tag="stop"):
    """Finish nothing, free the memory, exit 0."""


class ClearCache(Struct, frozen=True, tag="clear_cache"):
    """Forget every stored prefix: idle KV cells, RAM and disk."""


class ModelInfo(Struct, frozen=True, kw_only=True):
    """What the loaded model says of itself."""

    architecture: str
    parameters: int
    vocabulary: int  # tokens
    context_train: int  # tokens
    context: int  # tokens a slot, as loaded
    slots: int
    kv_bytes_per_token: int
    has_template: bool
    dimensions: int = 0  # of an embedding model's vectors
    thinks: bool = False  # the template knows <think>
    cuts: bool = True  # the end of a sequence can be taken back: recurrent models cannot
    drafts: bool = True  # several tokens in a row give the numbers that they would give one by one
    build: str = ""  # of the native library: part of every cache key
    computes: str = ""  # what computes it, and why, where there is a choice
    warnings: tuple[str, ...] = ()  # what its user should know of the file


class Ready(Struct, frozen=True, tag="ready"):
    info: ModelInfo
    seconds: float  # to load


class Refused(Struct, frozen=True, tag="refused"):
    error: ErrorInfo


class Output(Struct, frozen=True, tag="output"):
    """All events of one step, in order."""

    events: tuple[Event, ...]


class TierStats(Struct, frozen=True, kw_only=True):
    """One tier of the prefix cache. Counts are since the worker started."""

    tier: str  # "kv", "ram" or "disk"
    hits: int = 0  # jobs that began with tokens from it
    tokens: int = 0  # of those jobs
    bytes: int = 0  # held now
    blocks: int = 0
    evictions: int = 0  # blocks
    written: int = 0  # bytes


class CacheStats(Struct, frozen=True, kw_only=True):
    tiers: tuple[TierStats, ...] = ()
    misses: int = 0  # jobs that found nothing


class Pulse(Struct, frozen=True, tag="pulse", kw_only=True):
    """Alive, and what the scheduler holds right now."""

    busy_slots: int
    queued: int
    backlog_prefill: int  # uncached prompt tokens not computed yet, queue included
    backlog_decode: int  # tokens still to be produced, queue included, at their expected length
    prefill_rate: float  # tokens a second, recent; 0 = not measured yet
    decode_rate: float  # tokens a second over all streams, recent
    step: float  # seconds, recent median
    cached_tokens: int  # held in KV cells for reuse
    cache: CacheStats = CacheStats()
    threads: int = 0  # that decode now; 0 = not said
    threads_why: str = ""  # when they are fewer than planned


ToWorker = Load | Submit | Cancel | Shrink | ClearCache | Stop
FromWorker = Ready | Refused | Output | Pulse
