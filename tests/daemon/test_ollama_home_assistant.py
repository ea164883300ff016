"""What Home Assistant asks, recorded, while every slot is busy: set-up, polling, and a chat with tools."""

from __future__ import annotations

import json
import time
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


def test_every_request_is_answered_while_all_slots_are_busy() -> None:
    with running(env={"MONGARSD_INFERENCE_SLOTS": "4"}) as daemon:
        busy = [daemon.chat(daemon.connect(), max_tokens=2000) for _ in range(4)]
        for stream in busy:
            stream.readline()
        status, listed = daemon.get("/api/tags", Accept="application/json")
        assert (status, [model["model"] for model in listed["models"]]) == (200, [f"{MODEL}:latest"])
        slowest = 0.0
        for path in ("/api/tags", "/api/ps") * 20:
            begin = time.monotonic()
            assert daemon.get(path)[0] == 200
            slowest = max(slowest, time.monotonic() - begin)
        assert slowest < 5, "Home Assistant gives up after 5 seconds"
        assert daemon.get("/api/ps")[1]["models"][0]["expires_at"].startswith("2300")
        for stream in busy:
            stream.close()
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": "You are a voice assistant."},
            {"role": "user", "content": "Turn on the light"},
        ]
        for number in range(ROUNDS):
            last = chat(daemon, messages)
            assert (last["done"], last["done_reason"]) == (True, "length")
            call = {"function": {"name": f"HassTurnOn{number}", "arguments": {"name": "light"}}}
            messages += [
                {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "content": '{"success": true}'},
            ]
