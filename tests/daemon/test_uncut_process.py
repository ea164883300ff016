"""Models whose sequences cannot be cut, through the real daemon and its real worker: they go on from checkpoints."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.daemon_process import MODEL, DaemonProcess
from fakes.tiny_uncut import write_uncut

from mongarsd.inference.cache.disk import scan
from mongarsd.inference.models.store import ModelStore

CONTEXT = 4096
TEXT = "Once upon a time there was a very long story. " * 6
ANSWER = 1000  # tokens: long enough to be killed in
ENV = {"MONGARSD_INFERENCE_SLOTS": "2", "MONGARSD_INFERENCE_CONTEXT": str(CONTEXT)}


@pytest.fixture(params=["mamba", "lfm2"])
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A state directory with such a model under the default model's name; a Unix socket's path is short."""
    folder = Path(tempfile.mkdtemp(prefix="m"))

    async def pull(file: Path) -> None:
        store = ModelStore(folder / "s", offline=True)
        async for _ in store.pull(f"file:{file}", MODEL):
            pass
        await store.close()

    try:
        asyncio.run(pull(write_uncut(folder / "tiny.gguf", request.param, context=CONTEXT)))
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def started(folder: Path) -> Iterator[DaemonProcess]:
    daemon = DaemonProcess(folder, fake=False, state="s", env=ENV)
    try:
        until(lambda: daemon.get("/readyz")[0] == 200)
        yield daemon
        daemon.signal(signal.SIGTERM)
        daemon.wait()
    finally:
        daemon.close()


def until(condition: Callable[[], Any]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, "it did not come true"
        time.sleep(0.05)


def ask(daemon: DaemonProcess, *messages: str, tokens: int = 20, **more: Any) -> tuple[str, int]:
    """(what it says, cached tokens), greedy; the messages are by turns the user's and the model's."""
    roles = ("user", "assistant")
    body = {
        "model": MODEL,
        "messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(messages)],
        "temperature": 0,
        "max_tokens": tokens,
        "ignore_eos": True,
        **more,
    }
    with contextlib.closing(daemon.connect()) as connection:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
    return answer["choices"][0]["message"]["content"], answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def worker(daemon: DaemonProcess) -> dict[str, Any]:
    (model,) = daemon.admin("/admin/status")["models"]
    return dict(model)


def disturbed(daemon: DaemonProcess, text: str) -> str:
    """What it says although its worker is killed at the first word."""
    said, killed = "", False
    messages = [{"role": "user", "content": text}]
    answer = daemon.chat(daemon.connect(), messages=messages, temperature=0, max_tokens=ANSWER)
    while line := answer.readline():
        if line.startswith(b"data: {"):
            (choice,) = json.loads(line[6:])["choices"]
            said += choice["delta"].get("content") or ""
            if said and not killed:
                killed = True
                os.kill(worker(daemon)["pid"], signal.SIGKILL)
    assert killed
    return said


@pytest.mark.slow
def test_a_conversation_goes_on_from_checkpoints(folder: Path) -> None:
    with started(folder) as daemon:
        said, cached = ask(daemon, TEXT)
        assert cached == 0
        turns = (TEXT, said, "And then?")
        second, cached = ask(daemon, *turns)
        assert cached > len(TEXT) // 2
        assert ask(daemon, *turns, cache_prompt=False) == (second, 0)
        until(lambda: list(scan(daemon.state / "cache" / "prefix")))
        whole, _ = ask(daemon, TEXT, tokens=ANSWER)
        assert disturbed(daemon, TEXT) == whole
        assert worker(daemon)["restarts"] == 1
        assert "; 1 jobs were in its hands" in daemon.log
    with started(folder) as daemon:
        again, cached = ask(daemon, *turns)
        assert again == second
        assert cached > len(TEXT) // 2
        until(lambda: any(t["name"] == "disk" and t["hits"] for t in daemon.admin("/admin/cache")["tiers"]))
