"""A text with a gap, through the real daemon and its real worker: what OpenAI's and Ollama's doors make of it."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.daemon_process import MODEL, DaemonProcess
from fakes.tiny_gguf import INFILL, MID, PRE, SUF, write_tiny_gguf

from mongarsd.inference.models.store import ModelStore

BEFORE, AFTER = "def add(a, b):", "    return c<|fim_middle|>"
ENV = {"MONGARSD_INFERENCE_SLOTS": "1", "MONGARSD_INFERENCE_CONTEXT": "256"}


def forget_infill(manifest: Path) -> None:
    """As a version wrote it that knew nothing of texts with a gap."""
    entry = json.loads(manifest.read_text())
    assert entry.pop("infill")
    assert entry.pop("reader")
    manifest.write_text(json.dumps(entry))


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    folder = Path(tempfile.mkdtemp(prefix="m"))  # a Unix socket's path is short

    async def pull(file: Path) -> None:
        store = ModelStore(folder / "s", offline=True)
        async for _ in store.pull(f"file:{file}", MODEL):
            pass
        await store.close()
        forget_infill(folder / "s" / "models" / "manifests" / f"{MODEL}.json")

    try:
        asyncio.run(pull(write_tiny_gguf(folder / "tiny.gguf", more=INFILL)))
        daemon = DaemonProcess(folder, fake=False, state="s", env=ENV)
        try:
            limit = time.monotonic() + 60
            while daemon.get("/readyz")[0] != 200:
                assert time.monotonic() < limit, "it is not ready"
                time.sleep(0.05)
            yield daemon
            daemon.signal(signal.SIGTERM)
            daemon.wait()
        finally:
            daemon.close()
    finally:
        shutil.rmtree(folder)


def ask(daemon: DaemonProcess, path: str, **body: Any) -> Any:
    status, answer = daemon.post(path, body)
    assert status == 200, answer
    return json.loads(answer)


def test_a_model_that_an_older_version_pulled_is_told_to_have_the_tokens(daemon: DaemonProcess) -> None:
    limit = time.monotonic() + 30
    while "insert" not in ask(daemon, "/api/show", model=MODEL)["capabilities"]:
        assert time.monotonic() < limit, "its header was not read again"
        time.sleep(0.05)


def test_both_doors_fill_the_gap_as_its_tokens_would(daemon: DaemonProcess) -> None:
    greedy = {"model": MODEL, "temperature": 0, "max_tokens": 12, "ignore_eos": True, "cache_prompt": False}
    tokens = [PRE, *BEFORE.encode(), SUF, *AFTER.encode(), MID]  # a byte is a token
    wanted = ask(daemon, "/v1/completions", prompt=tokens, **greedy)
    filled = ask(daemon, "/v1/completions", prompt=BEFORE, suffix=AFTER, **greedy)
    assert filled["usage"]["prompt_tokens"] == wanted["usage"]["prompt_tokens"] == len(tokens)
    assert filled["choices"][0]["text"] == wanted["choices"][0]["text"] != ""
    options = {"temperature": 0, "num_predict": 12, "ignore_eos": True}
    said = ask(daemon, "/api/generate", model=MODEL, prompt=BEFORE, suffix=AFTER, options=options, stream=False)
    assert said["prompt_eval_count"] == len(tokens)
    assert (said["eval_count"], bool(said["response"])) == (12, True)
