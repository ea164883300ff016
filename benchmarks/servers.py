"""Start the servers that are compared, each on a free loopback port, and stop them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT = 120.0  # seconds


@dataclass(frozen=True)
class Server:
    name: str
    url: str
    model: str
    pid: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until `url` answers 200."""
    limit = time.monotonic() + START_TIMEOUT
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            if urllib.request.urlopen(url, timeout=5).status == 200:
                return
        time.sleep(0.1)
    raise TimeoutError(f"{url} did not answer within {START_TIMEOUT:.0f} s")


@contextlib.contextmanager
def running(name: str, command: list[str], port: int, ready: str, model: str, env: dict[str, str]) -> Iterator[Server]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **env})
        try:
            wait(f"http://127.0.0.1:{port}{ready}", process)
            yield Server(name, f"http://127.0.0.1:{port}", model, process.pid)
        except BaseException:
            log.seek(0)
            sys.stderr.buffer.write(log.read()[-4000:])
            raise
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ours(
    state: Path, *, slots: int, context: int, threads: int, **more: str
) -> contextlib.AbstractContextManager[Server]:
    """mongarsd on the state directory that already holds the default model."""
    port = free_port()
    env = {
        "MONGARSD_INFERENCE_SLOTS": str(slots),
        "MONGARSD_INFERENCE_CONTEXT": str(context),
        "MONGARSD_INFERENCE_DECODE_THREADS": str(threads),
        "MONGARSD_INFERENCE_PREFILL_THREADS": str(threads),
        # The same threads for both: while the other server has its turn, ours would see a busy board and give way.
        "MONGARSD_INFERENCE_LIVE_THREADS": "false",
        "MONGARSD_CACHE_ANSWERS": "0",  # what is measured is computed
        **more,
    }
    command = [sys.executable, "-m", "mongarsd", "--state-dir", str(state), "--listen", f"127.0.0.1:{port}"]
    return running("mongarsd", command, port, "/readyz", "smollm2-135m-instruct", env)


def theirs(
    binary: Path, model: Path, *, slots: int, context: int, threads: int, flags: tuple[str, ...] = ()
) -> contextlib.AbstractContextManager[Server]:
    """llama-server with `slots` slots of `context` tokens each."""
    port = free_port()
    command = [str(binary), "-m", str(model), "--port", str(port), "-np", str(slots), "-c", str(slots * context)]
    command += ["-t", str(threads), "-tb", str(threads), *flags]
    return running("llama-server", command, port, "/health", "default", {})
