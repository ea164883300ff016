"""`python -m benchmarks.embeddings STATE_DIR`: texts a second through the HTTP API, one a request and 32 a request.

STATE_DIR has all-MiniLM-L6-v2 installed (`mongarsctl models pull all-minilm-l6-v2`). A daemon of its own is started on
a copy of it; nothing else should run.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = "all-minilm-l6-v2"
TEXTS = [f"The quick brown fox number {i} jumps over the lazy dog and then sleeps in the sun." for i in range(32)]
SECONDS = 3.0  # each measurement
PAIRS = 5


def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def rate(port: int, batch: int) -> float:
    """Texts a second, `batch` in each request, one request at a time."""
    begin, done = time.monotonic(), 0
    while (took := time.monotonic() - begin) < SECONDS:
        for start in range(0, len(TEXTS), batch):
            body = {"model": MODEL, "input": TEXTS[start : start + batch], "encoding_format": "base64"}
            status, answer = ask(port, "POST", "/v1/embeddings", body)
            assert status == 200, answer
            done += batch
    return done / took


def resident(pid: int) -> float:
    """MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in found.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    state = parser.parse_args().state
    port = 8429
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(state / "models", Path(folder, "models"))
        daemon = subprocess.Popen(
            [sys.executable, "-m", "mongarsd", "--state-dir", folder, "--listen", f"127.0.0.1:{port}"],
            env={**os.environ, "MONGARSD_MODELS_PRELOAD": "0", "MONGARSD_MODELS_OFFLINE": "1"},
            stderr=subprocess.DEVNULL,
        )
        try:
            while True:
                try:
                    ask(port, "GET", "/healthz")
                    break
                except OSError:
                    time.sleep(0.1)
            rate(port, 32)  # load, and warm up
            loaded = resident(children(daemon.pid)[0])
            pairs = [(rate(port, 1), rate(port, 32)) for _ in range(PAIRS)]
            one, many = (statistics.median(figures) for figures in zip(*pairs, strict=True))
            ratio = statistics.median(b / a for a, b in pairs)
            worker = resident(children(daemon.pid)[0])
            print(f"| one text a request | {one:.0f} texts/s |")
            print(f"| 32 texts a request | {many:.0f} texts/s, {ratio:.2f} times as many |")
            print(f"| resident memory of the worker | {loaded:.0f} MB, {worker:.0f} MB at the end |")
            print(f"| resident memory of the daemon | {resident(daemon.pid):.0f} MB |")
        finally:
            daemon.terminate()
            daemon.wait(30)


if __name__ == "__main__":
    main()
