"""What a user may set. `default.toml` in `mongarsd/daemon` documents every key; `mongarsd.daemon.config` reads it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(ge=0.0, le=86_400.0)]
Bytes = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1, le=100_000)]
Auto = Literal["auto"]


class ServerSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    listen: tuple[str, ...] = ("127.0.0.1:8420",)
    ollama_port: Literal["auto", "on", "off"] = "auto"
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    key_hashes: tuple[Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")], ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    max_body: Annotated[int, Meta(ge=1024, le=1 << 30)] = 8 * 1024 * 1024  # bytes
    max_connections: Count = 256
    max_connections_per_client: Count = 64
    header_timeout: Seconds = 10.0
    write_timeout: Seconds = 30.0
    ping_interval: Seconds = 10.0
    drain: Seconds = 25.0


class ModelSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    default: str = "smollm2-135m-instruct"
    embedding: str = "all-minilm-l6-v2"
    preload: bool = True
    keep_alive: Annotated[float, Meta(ge=-1.0, le=31_536_000.0)] = -1.0  # seconds idle before unload; -1 = never
    offline: bool = False


class InferenceSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    slots: Annotated[int, Meta(ge=1, le=64)] | Auto = "auto"
    context: Annotated[int, Meta(ge=256, le=1_048_576)] | Auto = "auto"  # tokens a slot
    decode_threads: Annotated[int, Meta(ge=1, le=256)] | Auto = "auto"
    prefill_threads: Annotated[int, Meta(ge=1, le=256)] | Auto = "auto"
    live_threads: bool = True  # fewer while other programs keep cores busy
    workers: Annotated[int, Meta(ge=1, le=16)] | Auto = "auto"
    memory_budget: Bytes | Auto = "auto"
    gpu_layers: Annotated[int, Meta(ge=0, le=1000)] | Auto = "auto"
    queue: Annotated[int, Meta(ge=0, le=10_000)] = 64
    max_gap: Annotated[float, Meta(ge=0.02, le=10.0)] = 0.33  # seconds a running stream may pause for a prefill chunk
    speculation: bool = True
    max_tokens: Annotated[int, Meta(ge=1, le=1_048_576)] = 8192
    hang_timeout: Annotated[float, Meta(ge=1.0, le=3600.0)] = 20.0


class CacheSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    ram: Bytes | Auto = "auto"  # of each loaded model; 0 = off
    disk: Bytes | Auto = "auto"  # of all models together; 0 = off
    disk_writes_per_day: Bytes = 4 * 1024**3
    answers: Annotated[int, Meta(ge=0, le=1 << 32)] = 8 * 1024**2  # bytes of whole answers in RAM; 0 = off
    answers_ttl: Annotated[float, Meta(ge=0.0, le=604_800.0)] = 3600.0  # seconds; 0 = off


class MemorySettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    backup_at: Annotated[str, Meta(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9])?$")] = "03:30"  # local time; "" = never
    backups: Annotated[int, Meta(ge=1, le=100)] = 3  # kept
    trust_chat_ids: bool = False  # X-OpenWebUI-Chat-Id has a chat stored without `store`
    summaries: bool = True  # of stored conversations that a context cannot hold, written in idle time


class DocumentSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of each account."""

    max_file: Bytes = 64 * 1024**2
    max_files: Count = 10_000
    max_bytes: Bytes = 1024**3  # of all its files


class AccountsSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of each account that has no limits of its own. 0 = none."""

    requests_per_minute: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    tokens_per_minute: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    jobs: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0  # at the same time
    token_lifetime: Annotated[float, Meta(ge=60.0, le=86_400.0)] = 3600.0  # seconds


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "human", "json"] = "auto"


class ControlSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    socket: str = ""  # path; empty = control.sock in $RUNTIME_DIRECTORY, else in the state directory
    group: str = ""  # unix group of the socket


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    server: ServerSettings = ServerSettings()
    models: ModelSettings = ModelSettings()
    inference: InferenceSettings = InferenceSettings()
    cache: CacheSettings = CacheSettings()
    memory: MemorySettings = MemorySettings()
    documents: DocumentSettings = DocumentSettings()
    accounts: AccountsSettings = AccountsSettings()
    log: LogSettings = LogSettings()
    control: ControlSettings = ControlSettings()
