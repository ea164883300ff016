"""Memories through the real daemon, its worker for vectors and `mongarsctl`."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.daemon_process import DaemonProcess, running
from fakes.tiny_onnx import write_model

ENV = {"MONGARSD_MODELS_EMBEDDING": "tiny"}


def ask(daemon: DaemonProcess, method: str, path: str, body: object = None, status: int = 200) -> Any:
    with contextlib.closing(http.client.HTTPConnection("localhost", timeout=20)) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(daemon.control))
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        assert response.status == status, answer
        return json.loads(answer.splitlines()[-1])


def until_embedded(daemon: DaemonProcess) -> None:
    limit = time.monotonic() + 60
    while not all(one["embedded"] for one in ask(daemon, "GET", "/v1/memory")["data"]):
        assert time.monotonic() < limit, daemon.log
        time.sleep(0.05)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with running(env=ENV) as daemon:
        model = write_model(tmp_path_factory.mktemp("model"))
        ask(daemon, "POST", "/admin/models/pull", {"ref": f"file:{model}"})
        yield daemon


@pytest.mark.slow
def test_a_fact_is_found_by_meaning_and_survives_kill_9(daemon: DaemonProcess) -> None:
    told = ask(daemon, "POST", "/v1/memory", {"text": "red"})
    ask(daemon, "POST", "/v1/memory", {"text": "two three"})
    until_embedded(daemon)
    found = ask(daemon, "GET", "/v1/memory/search?q=red")
    assert (found["mode"], found["data"][0]["memory"]["id"]) == ("hybrid", told["id"])
    assert found["data"][0]["similarity"] == pytest.approx(1.0, abs=0.02)
    metrics = daemon.text("/metrics")
    assert "mongarsd_memory_index_vectors 2.0" in metrics
    assert 'mongarsd_memory_search_seconds_count{mode="hybrid"} 1.0' in metrics

    daemon.signal(signal.SIGKILL)
    daemon.wait()
    again = DaemonProcess(daemon.folder, env=ENV)
    try:
        assert ask(again, "GET", "/v1/memory/search?q=red")["data"] == found["data"]
        ask(again, "DELETE", f"/v1/memory/{told['id']}")
        ask(again, "GET", f"/v1/memory/{told['id']}", status=404)
        assert [one["memory"]["text"] for one in ask(again, "GET", "/v1/memory/search?q=red")["data"]] == ["two three"]
    finally:
        again.close()


def test_without_an_embedding_model_words_are_enough() -> None:
    with running() as daemon:
        ask(daemon, "POST", "/v1/memory", {"text": "The cat is called Mia"})
        found = ask(daemon, "GET", "/v1/memory/search?q=cat")
        assert (found["mode"], found["why"]) == ("words", "no embedding model is installed")
        assert [one["memory"]["text"] for one in found["data"]] == ["The cat is called Mia"]
        question = {"role": "user", "content": "What is the cat called?"}
        body = {"messages": [question], "max_tokens": 2, "memory": {"recall": True}}
        answer = ask(daemon, "POST", "/v1/chat/completions", body)
        assert [one["text"] for one in answer["memory"]["recalled"]] == ["The cat is called Mia"]
        assert "numpy" not in Path(f"/proc/{daemon.process.pid}/maps").read_text()


def mongarsctl(daemon: DaemonProcess, *arguments: str) -> str:
    done = daemon.ctl("memory", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_mongarsctl() -> None:
    with running() as daemon:
        name = mongarsctl(daemon, "remember", "The cat is called Mia").strip()
        assert name in mongarsctl(daemon, "list")
        assert json.loads(mongarsctl(daemon, "search", "cat", "--json"))["data"][0]["words"] == 1.0
        assert mongarsctl(daemon, "use", "--recall") == "recall: on\nremember: off\n"
        body = {"messages": [{"role": "user", "content": "What is the cat called?"}], "max_tokens": 2}
        assert ask(daemon, "POST", "/v1/chat/completions", body)["memory"]["recalled"][0]["id"] == name
        assert mongarsctl(daemon, "forget", name) == "Forgotten: The cat is called Mia\n"
        assert name not in mongarsctl(daemon, "list")


def test_the_second_turn_comes_from_the_prefix_cache() -> None:
    with running() as daemon:
        for text in ("The cat is called Mia", "The dog sleeps in the kitchen"):
            ask(daemon, "POST", "/v1/memory", {"text": text})
        system = {"role": "system", "content": "You help the people of this house. " * 10}
        messages = [system, {"role": "user", "content": "What is the cat called?"}]
        body: dict[str, Any] = {"messages": messages, "max_tokens": 20, "memory": {"recall": True}}
        first = ask(daemon, "POST", "/v1/chat/completions", body)
        messages += [first["choices"][0]["message"], {"role": "user", "content": "And the dog?"}]
        second = ask(daemon, "POST", "/v1/chat/completions", body)
        assert [one.get("earlier", False) for one in second["memory"]["recalled"]] == [True, False]
        new = len("user: And the dog?\nassistant: ") + len("Known from before:") + 60
        usage = second["usage"]
        assert usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"] < new
