"""What the node says of itself on the control socket; `mongarsctl` reads the same types."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from mongarsd.ground.preset import Preset


class Reasoned(Struct, frozen=True):
    """A knob, its value, and one sentence why."""

    name: str
    value: str
    why: str


class ModelStatus(Struct, frozen=True, kw_only=True):
    """A model on disk, and what its worker is doing if it is loaded."""

    name: str
    digest: str
    size: int  # bytes on disk
    architecture: str = ""
    parameters: int = 0
    quantization: str = ""
    kind: Literal["chat", "embedding", "rerank"] = "chat"
    capabilities: tuple[str, ...] = ()  # Ollama's words, and "rerank"
    dimensions: int = 0  # numbers in a vector of an embedding model
    context_length: int = 0  # tokens the model was trained for
    licence: str = ""
    source: str = ""
    base: str = ""  # of a LoRA adapter: digest of its model, whose worker computes it
    modified: float = 0.0  # seconds since the epoch
    state: Literal["on_disk", "loading", "ready", "restarting", "failed"] = "on_disk"
    error: str = ""
    pid: int | None = None
    memory: int = 0  # bytes resident in the worker
    context: int = 0  # tokens a slot, as loaded
    slots: int = 0
    busy_slots: int = 0
    queued: int = 0
    prefill_rate: float = 0.0  # tokens a second, recent
    decode_rate: float = 0.0  # tokens a second over all streams, recent
    cached_tokens: int = 0  # held in KV cells
    threads: int = 0  # that write; 0 = not known yet
    threads_why: str = ""  # when they are fewer than planned
    reduced: str = ""  # why it has fewer slots or a shorter context than planned
    computes: str = ""  # what computes it, and why, where there is a choice
    warnings: tuple[str, ...] = ()  # what its user should know of the file
    restarts: int = 0
    loads: int = 0  # times that it was put into memory, since the start
    idle_for: float = 0.0  # seconds
    expires_in: float | None = None  # seconds until unload; None = never
    keep_alive: float = -1.0  # seconds that it may be idle before; negative = for ever
    preset: Preset | None = None  # then this is a name for a way to use the model


class ModelCard(Struct, frozen=True, kw_only=True):
    """What a model's file says of itself."""

    format: Literal["gguf", "onnx"]
    template: str  # Jinja; "" = none
    info: dict[str, Any]  # numbers, texts and truth values, by GGUF's keys


class BoardStatus(Struct, frozen=True, kw_only=True):
    name: str
    cores: int
    memory_total: int  # bytes, cgroup limit respected
    memory_available: int
    temperature: float | None = None  # °C, the hottest zone
    throttled: str = ""  # why, in words; empty = not
    load: float = 0.0  # one-minute load average


class NodeStatus(Struct, frozen=True, kw_only=True):
    version: str
    pid: int
    uptime: float  # seconds
    listen: tuple[str, ...]
    state_dir: str
    memory: int  # bytes resident in the daemon
    board: BoardStatus
    models: tuple[ModelStatus, ...]
    fetching: str = ""  # the default model, while it is on its way
    recommendation: tuple[Reasoned, ...]
    warnings: tuple[str, ...] = ()


class AvailableModel(Struct, frozen=True, kw_only=True):
    """A model of the catalogue: what `mongarsctl models pull NAME` would get."""

    name: str
    title: str
    parameters: int  # about
    context: int  # tokens it was trained for
    size: int | None  # bytes to download, about
    ram: int  # bytes to run it, about
    licence: str
    installed: bool
    notes: str = ""


class CacheTier(Struct, frozen=True, kw_only=True):
    """Hits, tokens and evictions are counted since the daemon started."""

    name: Literal["kv", "ram", "disk"]
    bytes: int = 0
    budget: int = 0  # bytes; of each model in RAM; 0 = off, or not bounded by itself ("kv")
    hits: int = 0  # answers that began with stored tokens
    tokens: int = 0  # that were not computed again
    evictions: int = 0  # blocks of 64 tokens


class AnswerCache(Struct, frozen=True, kw_only=True):
    """Whole answers that can be given again. Counted since the daemon started."""

    answers: int = 0
    bytes: int = 0
    budget: int = 0  # bytes; 0 = off
    ttl: float = 0.0  # seconds
    hits: int = 0
    misses: int = 0
    evictions: int = 0  # for want of room, or too old


class CacheStatus(Struct, frozen=True, kw_only=True):
    """The prefix cache: KV cells, RAM, disk; and whole answers."""

    directory: str
    tiers: tuple[CacheTier, ...]
    misses: int = 0  # answers that found nothing stored
    written_today: int = 0  # bytes
    writes_per_day: int = 0  # bytes
    answers: AnswerCache = AnswerCache()


class BackupFile(Struct, frozen=True, kw_only=True):
    """A proven copy of the database."""

    name: str
    bytes: int
    made: float  # seconds since the epoch


class MemoryStatus(Struct, frozen=True, kw_only=True):
    """The database of conversations. `writes` by `commits` is how many shared one sync of the disk, since the start."""

    path: str
    bytes: int
    schema: int
    conversations: int
    turns: int
    summaries: int = 0  # conversations that have one
    writes: int
    commits: int
    backups: tuple[BackupFile, ...]  # the newest first
    warnings: tuple[str, ...]  # empty = it stores


class PullProgress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a pull's NDJSON stream; the last has status "success" or `error`."""

    status: str
    total: int | None = None  # bytes
    completed: int | None = None
    digest: str | None = None
    error: str | None = None
