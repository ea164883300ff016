"""What Home Assistant asks, recorded, while every slot is busy: set-up, polling, and a chat with tools."""

from __future__ import annotations

import json
import statistics
import threading
import time
from contextlib import closing
from typing import Any

from fakes.daemon_process import MODEL, DaemonProcess, running

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"HassTurnOn{n}",
            "description": "Turns on a device",
            "parameters": {"type": "object", "properties": {"name": {"type": "string"}}},
        },
    }
    for n in range(10)
]
ROUNDS = 10
SLOTS = 4
GIVES_UP = 5.0  # seconds after which Home Assistant calls the server dead


class Poller(threading.Thread):
    """Home Assistant's coordinator, without its pauses. `slowest` and `median` are seconds."""

    def __init__(self, daemon: DaemonProcess) -> None:
        super().__init__()
        self._daemon = daemon
        self._stop_it = threading.Event()
        self.seconds: list[float] = []
        self.failed: list[str] = []

    def run(self) -> None:
        while not self._stop_it.is_set():
            for path in ("/api/tags", "/api/ps"):
                begin = time.monotonic()
                status, answer = self._daemon.get(path)
                self.seconds.append(time.monotonic() - begin)
                if status != 200 or [model["model"] for model in answer["models"]] != [f"{MODEL}:latest"]:
                    self.failed.append(f"{path}: {status} {answer}")

    def __enter__(self) -> Poller:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_it.set()
        self.join()


def chat(daemon: DaemonProcess, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """One round; the last line."""
    body = {
        "model": f"{MODEL}:latest",
        "messages": messages,
        "stream": True,
        "tools": TOOLS,
        "options": {"num_ctx": 8192.0, "num_predict": 4},
        "keep_alive": -1,
        "think": False,
    }
    connection = daemon.connect()
    connection.request("POST", "/api/chat", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    lines = [json.loads(line) for line in response.read().splitlines()]
    last: dict[str, Any] = lines[-1]
    return last


def ten_rounds(daemon: DaemonProcess) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You are a voice assistant."},
        {"role": "user", "content": "Turn on the light"},
    ]
    for number in range(ROUNDS):
        last = chat(daemon, messages)
        assert last["done"]
        assert last["done_reason"] in {"length", "stop"}
        call = {"function": {"name": f"HassTurnOn{number}", "arguments": {"name": "light"}}}
        messages += [
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": '{"success": true}'},
        ]


def test_every_request_is_answered_while_all_slots_are_busy() -> None:
    """Others ask again once they are answered, and are more than there are slots: its chat waits in each round."""
    over = threading.Event()
    answered = []

    def ask_again_and_again() -> None:
        while not over.is_set():
            with closing(daemon.connect()) as connection:  # one address may have 64 of them
                response = daemon.chat(connection, max_tokens=20)
                answered.append(response.status)
                response.read()

    with running(env={"MONGARSD_INFERENCE_SLOTS": str(SLOTS)}, state="state?step=0.002&rest=x") as daemon:
        daemon.chat(daemon.connect(), max_tokens=1).read()  # loads the model
        others = [threading.Thread(target=ask_again_and_again) for _ in range(SLOTS + 2)]
        for other in others:
            other.start()
        try:
            assert daemon.get("/api/tags", Accept="application/json")[0] == 200
            with Poller(daemon) as poller:
                ten_rounds(daemon)
        finally:
            over.set()
            for other in others:
                other.join()
        assert daemon.get("/api/ps")[1]["models"][0]["expires_at"].startswith("2300")
    assert not poller.failed
    assert set(answered) == {200}
    assert len(answered) > ROUNDS
    print(  # noqa: T201
        f"{len(poller.seconds)} polls: median {statistics.median(poller.seconds) * 1000:.1f} ms, "
        f"slowest {max(poller.seconds) * 1000:.1f} ms"
    )
    assert len(poller.seconds) > 10
    assert max(poller.seconds) < GIVES_UP


def test_a_conversation_of_weeks_is_answered() -> None:
    """It sends its whole history, which is longer than the context of 4096 tokens (the fake's are characters)."""
    with running() as daemon:
        said = [{"role": role, "content": f"number {n} " * 5} for n in range(60) for role in ("user", "assistant")]
        talk = [{"role": "system", "content": "You are a voice assistant."}, *said, {"role": "user", "content": "Hi"}]
        assert sum(len(one["content"]) for one in talk) > 4096
        last = chat(daemon, talk)
    assert last["done"]
    assert 1000 < last["prompt_eval_count"] < 4096
