"""Coming back to a long conversation: after a crash, an unload and a restart of the daemon."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fakes.daemon_process import MODEL, DaemonProcess

from mongarsd.inference.cache.disk import scan

WORDS = " ".join(f"{n} is the number of line {n * 37 % 101}," for n in range(120))  # about 1,500 tokens
KNOBS = {"MONGARSD_INFERENCE_SLOTS": "2", "MONGARSD_INFERENCE_CONTEXT": "2048"}

Install = Callable[[Path, Path], Any]


def ask(daemon: DaemonProcess, text: str = WORDS, tokens: int = 24) -> tuple[str, int, int]:
    """(what it says, prompt tokens, cached tokens), greedy."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": tokens}
    with contextlib.closing(daemon.connect()) as connection:
        connection.timeout = 120
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
    usage: dict[str, Any] = answer["usage"]
    return (
        answer["choices"][0]["message"]["content"],
        usage["prompt_tokens"],
        usage["prompt_tokens_details"]["cached_tokens"],
    )


def worker(daemon: DaemonProcess) -> int:
    return int(daemon.admin("/admin/status")["models"][0]["pid"])


def written(daemon: DaemonProcess) -> int:
    return len(list(scan(daemon.state / "cache" / "prefix")))


@contextlib.contextmanager
def folder_with_model(model: Path, install: Install) -> Iterator[Path]:
    """Short: a Unix socket's path has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="m"))
    try:
        install(folder / "state", model)
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def started(folder: Path, until: Callable[..., None]) -> Iterator[DaemonProcess]:
    daemon = DaemonProcess(folder, fake=False, state="state", env=KNOBS)
    try:
        until(lambda: daemon.get("/readyz")[0] == 200)
        yield daemon
    finally:
        daemon.close()


def test_a_conversation_is_not_read_again(default_model: Path, until: Callable[..., None], install: Install) -> None:
    with folder_with_model(default_model, install) as folder:
        with started(folder, until) as daemon:
            cold, prompt, cached = ask(daemon)
            assert prompt >= 1400
            assert cached == 0
            until(lambda: written(daemon) >= prompt // 64)  # in idle time
            os.kill(worker(daemon), signal.SIGKILL)
            assert ask(daemon) == (cold, prompt, prompt // 64 * 64)  # read by the next worker
            daemon.signal(signal.SIGTERM)
            daemon.wait()
        with started(folder, until) as daemon:
            assert ask(daemon) == (cold, prompt, prompt // 64 * 64)
            disk = next(tier for tier in until_tier(daemon, until) if tier["name"] == "disk")
            assert disk["tokens"] == prompt // 64 * 64
            assert disk["bytes"] > 30_000_000


def until_tier(daemon: DaemonProcess, until: Callable[..., None]) -> list[dict[str, Any]]:
    """After the next pulse."""
    until(lambda: any(tier["hits"] for tier in daemon.admin("/admin/cache")["tiers"]))
    tiers: list[dict[str, Any]] = daemon.admin("/admin/cache")["tiers"]
    return tiers
