"""The idle daemon: at most 50 MB, ready within 1.5 s of an idle machine, and none of the heavy libraries in memory."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HEAVY = frozenset(
    {
        "apscheduler", "frozenlist._frozenlist", "huggingface_hub", "jinja2", "llama_cpp", "numpy", "onnxruntime",
        "prometheus_client", "psutil", "rich", "sqlite_utils", "tokenizers", "typer", "zeroconf",
    }
)  # fmt: skip
RSS = 50 * 1000  # kB
START = 1.5  # seconds
ATTEMPTS = 6  # the quickest counts: other tests, which may be running beside, share disk and caches
#: Objects that stay for good: a collection that looked at all of them would stop every stream for 40 ms and more.
FROZEN = 40_000
#: The daemon in a fresh interpreter; at its end it says how much was frozen, and what it had imported.
PROGRAM = """
import gc, sys
from mongarsd.daemon.cli import main
code = main(sys.argv[1:])
print(gc.get_freeze_count(), *sys.modules)
raise SystemExit(code)
"""


class Measured(NamedTuple):
    start: float  # seconds to READY=1, without those in which it waited for a processor
    rss: int  # kB, some requests later
    frozen: int
    modules: set[str]


def measure(folder: Path) -> Measured:
    control = folder / "s" / "control.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(folder / "notify"))
        systemd.settimeout(20)
        begin = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "--state-dir", str(folder / "s"), "--listen", "127.0.0.1:0"],
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "MONGARSD_MODELS_OFFLINE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            while systemd.recv(4096) != b"READY=1":
                pass
            start = time.monotonic() - begin - waited(process.pid)
            for path in ("/healthz", "/readyz", "/v1/models", "/admin/status"):
                assert ask(control, path).startswith(b"HTTP/1.1")
            (rss,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
            process.terminate()
        finally:
            out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    frozen, *modules = out.split()
    return Measured(start, int(rss), int(frozen), set(modules))


def waited(pid: int) -> float:
    """Seconds in which the process's first thread could run and others had the processors."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def ask(control: Path, path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(control))
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_idle_daemon_is_small_and_quick(tmp_path: Path) -> None:
    starts: list[float] = []
    for attempt in range(ATTEMPTS):
        (tmp_path / str(attempt)).mkdir()
        measured = measure(tmp_path / str(attempt))
        assert measured.modules & HEAVY == set()
        assert measured.rss <= RSS
        assert measured.frozen >= FROZEN
        starts.append(measured.start)
        if measured.start <= START:
            return
    raise AssertionError(f"ready after {starts} s; {START} are allowed")


def test_the_environment_stays_as_it_was() -> None:
    program = (
        "import os; from mongarsd.daemon import footprint as f; b = {**os.environ}; f.begin(); assert b == os.environ"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "SSL_CERT_DIR": "/mine"}, timeout=20)
