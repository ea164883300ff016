"""The real daemon with real workers of models that embed and rank, in both formats."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from fakes.daemon_process import MODEL, DaemonProcess, running
from fakes.tiny_onnx import tiny_ranker, write_model
from fakes.tiny_reader import WIDTH, write_bert

DOCUMENTS = ["green blue", "red", "one two three", "red one"]


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    folder = tmp_path_factory.mktemp("readers")
    with running() as daemon:
        for path in (
            write_bert(folder / "embedder.gguf"),
            write_bert(folder / "ranker.gguf", pooling=None, head=True),
            write_model(folder / "onnx", tiny_ranker()).rename(folder / "onnx" / "cross.onnx"),
        ):
            lines = daemon.post("/admin/models/pull", {"ref": f"file:{path}"}, admin=True)[1]
            assert json.loads(lines.splitlines()[-1])["status"] == "success"
        yield daemon


def rerank(daemon: DaemonProcess, **more: Any) -> Any:
    status, answer = daemon.post("/v1/rerank", {"model": "ranker", "query": "red", "documents": DOCUMENTS, **more})
    assert status == 200, answer
    return json.loads(answer)


def error(daemon: DaemonProcess, path: str, **body: Any) -> dict[str, Any]:
    status, answer = daemon.post(path, body)
    found: dict[str, Any] = json.loads(answer)["error"]
    return {"status": status, **found}


@pytest.mark.parametrize("model", ["ranker", "cross"])
def test_documents_come_back_best_first(readers: DaemonProcess, model: str) -> None:
    answer = rerank(readers, model=model)
    assert (answer["model"], answer["object"]) == (model, "list")
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert sorted(result["index"] for result in answer["results"]) == [0, 1, 2, 3]
    assert all("document" not in result for result in answer["results"])
    # [CLS] red [SEP] … [SEP] for each of the four
    assert answer["usage"] == {"prompt_tokens": 4 * 4 + 8, "total_tokens": 4 * 4 + 8}


def test_the_best_of_them_with_their_texts(readers: DaemonProcess) -> None:
    whole = rerank(readers)["results"]
    best = rerank(readers, documents=[{"text": text} for text in DOCUMENTS], top_n=2, return_documents=True)["results"]
    assert [result["index"] for result in best] == [result["index"] for result in whole[:2]]
    assert [result["document"] for result in best] == [{"text": DOCUMENTS[result["index"]]} for result in best]
    assert len(rerank(readers, top_n=99)["results"]) == 4
    status, answer = readers.post("/v1/reranking", {"model": "ranker", "query": "red", "documents": ["a"]})
    assert (status, len(json.loads(answer)["results"])) == (200, 1)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"documents": []}, "documents"),
        ({"documents": ["a"] * 2049}, "documents"),
        ({"documents": [7]}, "documents"),
        ({"documents": [{"title": "a"}]}, "documents"),
        ({"query": ""}, "query"),
        ({"query": "red " * 200}, "query"),
        ({"query": None}, "query"),
        ({"top_n": 0}, "top_n"),
        ({"model": MODEL}, "model"),
        ({"model": "embedder"}, "model"),
    ],
)
def test_what_cannot_be_ranked_is_a_400_that_names_the_field(
    readers: DaemonProcess, more: dict[str, Any], param: str
) -> None:
    found = error(readers, "/v1/rerank", **{"model": "ranker", "query": "red", "documents": ["a"], **more})
    assert found["status"] == 400
    assert param in (found["param"] or found["message"])
    rerank(readers)


def test_an_unknown_model_is_a_404(readers: DaemonProcess) -> None:
    assert error(readers, "/v1/rerank", model="none", query="a", documents=["b"])["status"] == 404


def test_the_openai_library_gets_vectors_of_a_gguf(readers: DaemonProcess) -> None:
    host, port = readers.ports[0]
    with openai.OpenAI(base_url=f"http://{host}:{port}/v1", api_key="none", max_retries=0) as client:
        default = client.embeddings.create(model="embedder", input=["red one", "blue"])  # base64 on the wire
        floats = client.embeddings.create(model="embedder", input="red one", encoding_format="float", dimensions=WIDTH)
        listed = {model.id: model for model in client.models.list().data}
        with pytest.raises(openai.BadRequestError, match="dimensions"):
            client.embeddings.create(model="embedder", input="a", dimensions=8)
        with pytest.raises(openai.BadRequestError, match="ranks documents"):
            client.embeddings.create(model="ranker", input="a")
        with pytest.raises(openai.BadRequestError, match="/v1/rerank"):
            client.chat.completions.create(model="ranker", messages=[{"role": "user", "content": "a"}])
        with pytest.raises(openai.BadRequestError, match="/v1/embeddings"):
            client.completions.create(model="embedder", prompt="a")
    assert default.data[0].embedding == pytest.approx(floats.data[0].embedding, abs=1e-3)
    assert math.hypot(*default.data[1].embedding) == pytest.approx(1, abs=1e-5)
    assert default.usage.prompt_tokens == 4 + 3
    can = {name: model.capabilities for name, model in listed.items()}  # type: ignore[attr-defined]
    assert can == {
        MODEL: ["completion", "tools"],
        "embedder": ["embedding"],
        "ranker": ["rerank"],
        "cross": ["rerank"],
    }


def test_a_killed_worker_is_replaced_and_counts_go_on(readers: DaemonProcess) -> None:
    before = rerank(readers)
    pids = {model["name"]: model["pid"] for model in readers.admin("/admin/status")["models"]}
    os.kill(pids["ranker"], signal.SIGKILL)
    limit = time.monotonic() + 60
    while readers.post("/v1/rerank", {"model": "ranker", "query": "red", "documents": ["a"]})[0] != 200:
        assert time.monotonic() < limit
    assert rerank(readers)["results"] == before["results"]
    (line,) = [line for line in readers.text("/metrics").splitlines() if line.startswith("mongarsd_reranked_total")]
    assert float(line.split()[1]) >= 8


def test_its_worker_has_no_library_that_it_does_not_need(readers: DaemonProcess) -> None:
    """No onnxruntime in a GGUF model's worker, and no numpy."""
    rerank(readers)
    pids = {model["name"]: model["pid"] for model in readers.admin("/admin/status")["models"]}
    maps = Path(f"/proc/{pids['ranker']}/maps").read_text()
    assert "libllama" in maps
    assert "numpy" not in maps
    assert "onnxruntime" not in maps
