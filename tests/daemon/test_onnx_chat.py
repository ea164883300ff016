"""An ONNX chat model from its folder to an answer, through the real daemon, its worker and HTTP."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.daemon_process import DaemonProcess
from fakes.tiny_decoder import CONTEXT, WORDS, greedy, scatter, write_decoder

from mongarsd.inference.models.store import ModelStore


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    folder = Path(tempfile.mkdtemp(prefix="m"))  # short: a Unix socket's path has at most 107 bytes
    write_decoder(folder / "tiny")
    scatter(write_decoder(folder / "apart"))

    async def pull() -> None:
        store = ModelStore(folder / "s", offline=True)
        for name in ("tiny", "apart"):
            async for _ in store.pull(f"file:{folder / name}"):
                pass
        model = store.resolve("tiny")
        assert (model.format, model.kind, model.context_length) == ("onnx", "chat", CONTEXT)
        assert set(model.files) == {"tokenizer", "tokens", "config", "generation", "template"}
        await store.close()

    daemon = None
    try:
        asyncio.run(pull())
        env = {"MONGARSD_MODELS_DEFAULT": "tiny"}
        daemon = DaemonProcess(folder, fake=False, state="s", env=env)
        yield daemon
    finally:
        if daemon:
            daemon.close()
        shutil.rmtree(folder)


def post(daemon: DaemonProcess, **fields: Any) -> tuple[int, Any]:
    connection = daemon.connect()
    body = {"model": "tiny", "temperature": 0, "max_tokens": 30, **fields}
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@pytest.mark.parametrize("model", ["tiny", "apart"])
def test_an_answer_is_what_numpy_says(daemon: DaemonProcess, model: str) -> None:
    status, body = post(daemon, model=model, prompt="the end")
    assert status == 200, body
    said = greedy([WORDS.index(letter) for letter in "the end"], 30)
    assert body["choices"][0]["text"] == "".join(WORDS[token] for token in said)


def test_a_schema_is_refused_with_the_reason_and_the_worker_lives(daemon: DaemonProcess) -> None:
    status, body = post(daemon, prompt="ab", grammar='root ::= "a"')
    assert status == 400, body
    assert "ONNX" in body["error"]["message"]
    assert post(daemon, prompt="ab")[0] == 200


def test_status_says_what_computes_it_and_why(daemon: DaemonProcess) -> None:
    assert post(daemon, prompt="ab")[0] == 200
    (found,) = (model for model in daemon.admin("/admin/status")["models"] if model["name"] == "tiny")
    assert "CPUExecutionProvider: this build of onnxruntime offers no other" in found["computes"]
