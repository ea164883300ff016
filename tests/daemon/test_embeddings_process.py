"""The real daemon with a real ONNX worker, on a model of 40 numbers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.daemon_process import MODEL, DaemonProcess, running
from fakes.tiny_onnx import WIDTH, tiny_onnx, write_model

HEAVY = re.compile(r"onnxruntime|numpy|tokenizers")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with running() as daemon:
        pull(daemon, write_model(tmp_path_factory.mktemp("model")))
        yield daemon


def pull(daemon: DaemonProcess, path: Path) -> Any:
    _, lines = daemon.post("/admin/models/pull", {"ref": f"file:{path}"}, admin=True)
    return json.loads(lines.splitlines()[-1])


def embed(daemon: DaemonProcess, *texts: str) -> list[list[float]]:
    status, answer = daemon.post("/v1/embeddings", {"model": "tiny", "input": texts})
    assert status == 200, answer
    return [item["embedding"] for item in json.loads(answer)["data"]]


def pids(daemon: DaemonProcess) -> dict[str, int]:
    return {model["name"]: model["pid"] for model in daemon.admin("/admin/status")["models"]}


def test_texts_become_vectors_and_the_status_says_so(daemon: DaemonProcess) -> None:
    vectors = embed(daemon, "red", "green blue", "red")
    assert [len(vector) for vector in vectors] == [WIDTH] * 3
    assert vectors[0] == vectors[2] != vectors[1]
    (model,) = [model for model in daemon.admin("/admin/status")["models"] if model["name"] == "tiny"]
    assert (model["kind"], model["dimensions"], model["state"]) == ("embedding", WIDTH, "ready")
    with contextlib.closing(daemon.connect()) as connection:
        connection.request("GET", "/metrics")
        assert b"mongarsd_embeddings_total 3.0" in connection.getresponse().read()


def test_a_killed_worker_is_replaced(daemon: DaemonProcess) -> None:
    before = embed(daemon, "one two")
    os.kill(pids(daemon)["tiny"], signal.SIGKILL)
    limit = time.monotonic() + 60
    while daemon.post("/v1/embeddings", {"model": "tiny", "input": "one two"})[0] != 200:
        assert time.monotonic() < limit
    assert embed(daemon, "one two") == before


def test_only_its_own_worker_has_the_heavy_libraries(daemon: DaemonProcess) -> None:
    embed(daemon, "one")
    daemon.chat(daemon.connect(), max_tokens=1).read()

    def heavy(pid: int) -> set[str]:
        return set(HEAVY.findall(Path(f"/proc/{pid}/maps").read_text()))

    found = pids(daemon)
    assert heavy(daemon.process.pid) == set()
    assert heavy(found[MODEL]) == set()
    assert heavy(found["tiny"]) == {"onnxruntime", "numpy", "tokenizers"}


@pytest.mark.parametrize(
    "text", ["\0", "\x1b[31m", "é" * 10_000, " ", "\ufffe", "𝔘", "[CLS] red [SEP]", "one " * 200_000]
)
def test_any_text_has_a_vector(daemon: DaemonProcess, text: str) -> None:
    (vector,) = embed(daemon, text)
    assert sum(x * x for x in vector) == pytest.approx(1.0, abs=1e-5)


def test_half_a_surrogate_pair_is_no_text(daemon: DaemonProcess) -> None:
    assert daemon.post("/v1/embeddings", {"model": "tiny", "input": "\ud800"})[0] == 400
    embed(daemon, "red")


def test_the_models_refuse_each_others_work(daemon: DaemonProcess) -> None:
    assert daemon.post("/v1/embeddings", {"model": MODEL, "input": "a"})[0] == 400
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "a"}]}
    assert daemon.post("/v1/chat/completions", chat)[0] == 400


@pytest.mark.parametrize("model", [tiny_onnx()[:-30], tiny_onnx(inputs=("input_ids",))])
def test_a_bad_file_is_not_installed(daemon: DaemonProcess, tmp_path: Path, model: bytes) -> None:
    assert "ONNX" in pull(daemon, write_model(tmp_path, model))["error"]


def test_a_file_that_only_onnxruntime_finds_bad_fails_with_a_reason(daemon: DaemonProcess, tmp_path: Path) -> None:
    path = write_model(tmp_path, tiny_onnx().replace(b"Gather", b"Bother"))
    pull(daemon, path.rename(tmp_path / "bad.onnx"))
    status, answer = daemon.post("/v1/embeddings", {"model": "bad", "input": "a"})
    assert status == 400
    assert "Bother" in json.loads(answer)["error"]["message"]
