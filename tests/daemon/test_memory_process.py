"""A conversation through the real process: stored, killed, there again, exported, backed up, restored."""

from __future__ import annotations

import json
import signal
import sqlite3
from typing import Any

import pytest
from fakes.daemon_process import DaemonProcess, running


def ctl(daemon: DaemonProcess, *arguments: str) -> str:
    done = daemon.ctl("memory", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(daemon: DaemonProcess, text: str) -> dict[str, str]:
    connection = daemon.connect()
    response = daemon.chat(connection, messages=[{"role": "user", "content": text}], max_tokens=4, store=True)
    assert response.status == 200
    response.read()
    return dict(response.getheaders())


def exported(daemon: DaemonProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ctl(daemon, "export").splitlines()]


@pytest.mark.slow
def test_a_conversation_outlives_a_kill_and_a_mistake() -> None:
    with running() as daemon:
        headers = ask(daemon, "Where is the key?")
        assert headers["X-Stored"] == "true"
        daemon.signal(signal.SIGKILL)
        daemon.wait()
        daemon.close()
        again = DaemonProcess(daemon.folder)
        try:
            assert again.get("/readyz")[1].get("warnings") is None
            (line,) = exported(again)
            assert line["conversation"]["id"] == headers["X-Conversation-Id"]
            assert [turn["role"] for turn in line["turns"]] == ["user", "assistant"]
            assert line["turns"][0]["content"] == "Where is the key?"
            assert ctl(again, "check") == "The database is whole.\n"
            name = json.loads(ctl(again, "backup", "--json"))["name"]
            ask(again, "And the other one?")
            assert len(exported(again)) == 2
            ctl(again, "restore", name)
            assert exported(again) == [line]
            assert ctl(again, "limit", "--days", "30").startswith("local: kept for 30 days")
            assert name in ctl(again, "status")
        finally:
            again.close()


def test_a_foreign_file_is_told_and_stops_no_chat() -> None:
    with running() as daemon:
        daemon.signal(signal.SIGTERM)
        daemon.wait()
        daemon.close()
        (daemon.state / "mongars.db").unlink()
        connection = sqlite3.connect(daemon.state / "mongars.db")
        connection.execute("CREATE TABLE theirs (x)")
        connection.close()
        again = DaemonProcess(daemon.folder)
        try:
            assert ask(again, "Hello")["X-Stored"] == "false"
            assert "memory" in again.get("/readyz")[1]["warnings"]
            assert any("another program" in text for text in again.admin("/admin/status")["warnings"])
        finally:
            again.close()
