"""A worker pays only for the backend it runs."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "numpy", "onnxruntime", "tokenizers", "aiohttp", "asyncio", "jinja2", "llama_cpp", "psutil", "prometheus_client",
)  # fmt: skip


def test_the_worker_imports_no_backend_until_it_is_told_which() -> None:
    program = f"import sys, mongarsd.inference.worker.__main__\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
