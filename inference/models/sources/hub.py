"""The user's hub settings, from the environment variables that huggingface_hub knows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from mongarsd.ground.errors import SourceUnavailable

ENDPOINT = "https://huggingface.co"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Hub:
    endpoint: URL
    token: str | None = field(repr=False)
    offline: bool = False

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> Hub:
        """HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HOME, HF_HUB_OFFLINE. Raises SourceUnavailable on a bad endpoint."""
        env = os.environ if env is None else env
        text = env.get("HF_ENDPOINT") or ENDPOINT
        try:
            endpoint = URL(text.rstrip("/"))
        except ValueError:
            endpoint = URL()
        if not endpoint.host:
            raise SourceUnavailable("HF_ENDPOINT is no URL; it must look like https://huggingface.co.")
        offline = env.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")
        return cls(endpoint, _token(env), offline)

    def proxy(self, url: URL) -> URL | None:
        """The proxy that the user's environment names for `url`; none for this machine itself."""
        if not url.host or url.host in LOOPBACK or proxy_bypass(url.host):
            return None
        proxy = getproxies().get(url.scheme)
        return URL(proxy) if proxy else None


def _token(env: Mapping[str, str]) -> str | None:
    if env.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in ("1", "TRUE", "YES", "ON"):
        return None
    token = (env.get("HF_TOKEN") or env.get("HUGGING_FACE_HUB_TOKEN") or "").strip()
    if not token:
        try:
            token = _token_path(env).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None
    return token if token.isascii() and token.isprintable() and " " not in token else None


def _token_path(env: Mapping[str, str]) -> Path:
    if path := env.get("HF_TOKEN_PATH"):
        return Path(path).expanduser()
    if home := env.get("HF_HOME"):
        return Path(home).expanduser() / "token"
    return Path(env.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface" / "token"
