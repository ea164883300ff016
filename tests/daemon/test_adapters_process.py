"""LoRA adapters through the real daemon and its control socket, over the fake backend."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fakes.daemon_process import LIMIT, MODEL, DaemonProcess, running
from fakes.gguf_files import F32, STRING, Weights, build_gguf

POET = f"{MODEL}:poet"


def adapter(seed: int = 0, **more: tuple[int, Any]) -> bytes:
    """For the token embedding of the daemon's model, which has 32 × 4 numbers and another output."""
    values = {
        "general.type": (STRING, "adapter"),
        "general.architecture": (STRING, "llama"),
        "general.name": (STRING, f"number {seed}"),
        "adapter.type": (STRING, "lora"),
        "adapter.lora.alpha": (F32, 8.0),
    }
    tensors = [Weights("output.weight.lora_a", (32, 2), 1, 0), Weights("output.weight.lora_b", (2, 4), 1, 1024)]
    return build_gguf({**values, **{key.replace("__", "."): value for key, value in more.items()}}, tensors, data=4096)


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    with running(state="state?rest=x") as daemon:
        assert pull(daemon, adapter())[-1]["status"] == "success"
        yield daemon


def control(daemon: DaemonProcess, method: str, path: str, body: Any = None) -> tuple[int, str]:
    with closing(http.client.HTTPConnection("localhost", timeout=LIMIT)) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(LIMIT)
        connection.sock.connect(str(daemon.control))
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode()


def pull(daemon: DaemonProcess, data: bytes, name: str = POET) -> list[Any]:
    path: Path = daemon.folder / "poet.gguf"
    path.write_bytes(data)
    _, lines = control(daemon, "POST", "/admin/models/pull", {"ref": f"file:{path}", "name": name})
    return [json.loads(line) for line in lines.splitlines()]


def say(daemon: DaemonProcess, model: str, status: int = 200, text: str = "go") -> Any:
    with closing(daemon.connect()) as connection:
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 24, "temperature": 0}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == status, answer
        return answer


def content(answer: Any) -> str:
    return str(answer["choices"][0]["message"]["content"])


def test_it_is_listed_under_its_base(daemon: DaemonProcess) -> None:
    _, listed = daemon.get("/v1/models")
    models = {model["id"]: model for model in listed["data"]}
    assert models[POET]["parent"] == MODEL
    assert "parent" not in models[MODEL]
    assert daemon.get(f"/v1/models/{POET}")[1]["id"] == POET
    status = next(model for model in daemon.admin("/admin/status")["models"] if model["name"] == POET)
    assert (status["base"], status["pid"]) == (models[MODEL]["digest"], None)


def test_it_answers_in_its_own_way_from_the_same_worker(daemon: DaemonProcess) -> None:
    bare, adapted = say(daemon, MODEL), say(daemon, POET)
    assert content(bare) != content(adapted)
    assert adapted["model"] == POET
    assert content(say(daemon, MODEL)) == content(bare)
    loaded = [model for model in daemon.admin("/admin/models") if model["pid"]]
    assert [model["name"] for model in loaded] == [MODEL]


def test_its_prefix_is_its_own(daemon: DaemonProcess) -> None:
    text = "a question that is long enough to be worth keeping for whoever asks it again"
    first, other, again = (say(daemon, model, text=text) for model in (MODEL, POET, POET))
    cached = [answer["usage"]["prompt_tokens_details"]["cached_tokens"] for answer in (first, other, again)]
    assert cached[1] < 30 < cached[2]
    assert content(other) == content(again)


def test_it_survives_the_death_of_its_worker(daemon: DaemonProcess) -> None:
    whole = content(say(daemon, POET))
    (worker,) = [model["pid"] for model in daemon.admin("/admin/models") if model["pid"]]
    os.kill(worker, signal.SIGKILL)
    assert content(say(daemon, POET)) == whole


def test_one_for_another_model_is_refused_with_the_reason_and_the_worker_lives(daemon: DaemonProcess) -> None:
    last = pull(daemon, adapter(1, general__architecture=(STRING, "qwen2")), f"{MODEL}:other")[-1]
    assert (last["status"], "qwen2" in last["error"]) == ("error", True)
    last = pull(daemon, adapter(1, adapter__type=(STRING, "nonsense")), f"{MODEL}:other")[-1]
    assert "nonsense" in last["error"]
    assert say(daemon, f"{MODEL}:other", 404)["error"]["param"] == "model"
    assert content(say(daemon, POET))


def test_it_is_removed_while_its_base_runs(daemon: DaemonProcess) -> None:
    name = f"{MODEL}:brief"
    assert pull(daemon, adapter(2), name)[-1]["status"] == "success"
    assert content(say(daemon, name))
    assert control(daemon, "POST", f"/admin/models/{name}/unload")[0] == 400
    assert control(daemon, "DELETE", f"/admin/models/{name}")[0] == 204
    say(daemon, name, 404)
    assert content(say(daemon, MODEL))


def test_embeddings_are_not_its_trade(daemon: DaemonProcess) -> None:
    with closing(daemon.connect()) as connection:
        body = json.dumps({"model": POET, "input": "a"})
        connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
        assert connection.getresponse().status == 400
