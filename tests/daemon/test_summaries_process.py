"""A conversation that outgrows its context, through the real process: summarised in idle time, told, really gone."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fakes.daemon_process import MODEL, DaemonProcess, running

CONTEXT = 1024  # tokens; the fake backend's are bytes
FAST = "state?step=0.001&rest=x"


def respond(daemon: DaemonProcess, text: str, previous: str) -> dict[str, Any]:
    connection = daemon.connect()
    body = {"model": MODEL, "input": text, "max_output_tokens": 32, "ignore_eos": True, "truncation": "auto"}
    body["instructions"] = "Be kind."
    if previous:
        body["previous_response_id"] = previous
    connection.request("POST", "/v1/responses", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    found: dict[str, Any] = json.loads(answer.read())
    assert answer.status == 200, found
    return found


def wait_written(daemon: DaemonProcess, least: int) -> None:
    for _ in range(600):  # a minute
        found = re.search(r"^mongarsd_memory_summaries_written (\S+)", daemon.text("/metrics"), re.MULTILINE)
        if found and float(found[1]) >= least:
            return
        time.sleep(0.1)
    raise AssertionError(f"no summary was written:\n{daemon.log}")


def summary(daemon: DaemonProcess) -> str:
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(database(daemon)))}?mode=ro", uri=True)) as connection:
        ((text,),) = connection.execute("SELECT text FROM summaries").fetchall()
    return str(text)


def stored(daemon: DaemonProcess) -> bytes:
    return b"".join(file.read_bytes() for file in database(daemon).parent.glob("mongars.db*"))


def database(daemon: DaemonProcess) -> Path:
    return daemon.state / "mongars.db"


@pytest.mark.slow
def test_a_long_conversation_is_carried_by_a_summary() -> None:
    env = {"MONGARSD_INFERENCE_CONTEXT": str(CONTEXT), "MONGARSD_INFERENCE_SLOTS": "2"}
    with running(state=FAST, env=env) as daemon:
        answer: dict[str, Any] = {"id": ""}
        for number in range(7):  # of 140 tokens each
            answer = respond(daemon, f"{number} " + "what the hush was " * 5, answer["id"])
            assert "summarised_turns" not in answer
            if number in (4, 6):  # more than half of the context was said since
                wait_written(daemon, number // 2 - 1)
        assert daemon.admin("/admin/memory")["summaries"] == 1
        answer = respond(daemon, "And " + "what the hush was " * 5, answer["id"])
        told = answer["summarised_turns"]
        assert told >= 2
        assert answer["usage"]["input_tokens"] < CONTEXT
        assert daemon.get(f"/v1/responses/{answer['id']}")[1]["summarised_turns"] == told
        assert "hush" not in daemon.log
        text = summary(daemon).encode()
        assert text in stored(daemon)
        conversations = daemon.get("/v1/conversations")[1]["data"]
        connection = daemon.connect()
        connection.request("DELETE", f"/v1/conversations/{conversations[0]['id']}")
        assert connection.getresponse().status == 200
        assert daemon.admin("/admin/memory")["summaries"] == 0
        assert text not in stored(daemon)
