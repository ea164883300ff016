"""A running llama-server to compare with."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

START_SECONDS = 60.0

Complete = Callable[..., dict[str, Any]]


@contextlib.contextmanager
def llama_server(binary: Path, model: Path, *, context: int = 4096) -> Iterator[Complete]:
    """Start it on a free loopback port; gives `complete(**body)`, which posts to /completion."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["-m", model, "-c", context, "-np", 1, "-t", 1, "--host", "127.0.0.1", "--port", port]
    process = subprocess.Popen([binary, *map(str, options)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"

    def complete(**body: Any) -> dict[str, Any]:
        body = {"return_tokens": True, "cache_prompt": False, **body}
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{address}/completion", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            result: dict[str, Any] = json.load(answer)
            return result

    try:
        _wait(f"{address}/health", process)
        yield complete
    finally:
        process.terminate()
        process.wait(10)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.HTTPError, OSError) as error:  # 503 while it loads
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            time.sleep(0.1)
    raise RuntimeError(f"llama-server did not start (exit code {process.poll()})")
