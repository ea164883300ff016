"""What SIGHUP changes without a restart."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from mongarsd.daemon.config import Config, changed
from mongarsd.ground.settings import Settings

#: Read again at every request or use. default.toml marks the same keys with "(reload)".
RELOADABLE = frozenset(
    {
        "server.allowed_hosts",
        "server.allowed_origins",
        "server.key_hashes",
        "server.trusted_proxies",
        "server.max_body",
        "server.max_connections",
        "server.max_connections_per_client",
        "server.write_timeout",
        "server.ping_interval",
        "models.embedding",
        "models.keep_alive",
        "inference.max_tokens",
        "cache.answers",
        "cache.answers_ttl",
        "memory.backup_at",
        "memory.backups",
        "memory.summaries",
        "memory.trust_chat_ids",
        "documents.max_file",
        "documents.max_files",
        "documents.max_bytes",
        "accounts.requests_per_minute",
        "accounts.tokens_per_minute",
        "accounts.jobs",
        "accounts.token_lifetime",
        "log.level",
        "log.format",
    }
)


def merge(old: Config, new: Config) -> tuple[Config, list[str], list[str]]:
    """The configuration to go on with, the keys that changed, and the changed keys that need a restart."""
    different = changed(old, new)
    applied = [key for key in different if key in RELOADABLE]
    waiting = [key for key in different if key not in RELOADABLE]
    settings = old.settings
    origins = dict(old.origins)
    for key in applied:
        settings = _replace(settings, key, new.settings)
    for key in RELOADABLE:
        origins.pop(key, None)
        if key in new.origins:
            origins[key] = new.origins[key]
    return Config(settings, origins), applied, waiting


def _replace(settings: Settings, key: str, source: Settings) -> Settings:
    group, _, name = key.partition(".")
    value = getattr(getattr(source, group), name)
    changed_group: Any = structs.replace(getattr(settings, group), **{name: value})
    return structs.replace(settings, **{group: changed_group})
