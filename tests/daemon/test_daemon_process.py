"""The real process: start, drain, reload, watchdog."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from http.client import HTTPResponse
from pathlib import Path

import pytest
from fakes import sse
from fakes.daemon_process import MODEL, DaemonProcess, running
from fakes.network import has_ipv6

from mongarsd.daemon.keys import key_hash, new_key


def first_words(response: HTTPResponse) -> bytes:
    """Read until the answer has begun."""
    read = b""
    while read.count(b'"content"') < 3:
        piece = response.read1()
        assert piece, read
        read += piece
    return read


def test_serves_and_ends() -> None:
    with running() as daemon:
        assert daemon.get("/healthz") == (200, {"status": "ok"})
        daemon.wait_told("STATUS=ready")
        assert daemon.get("/readyz")[0] == 200
        events = sse.events(daemon.chat(daemon.connect(), max_tokens=20).read())
        assert len(sse.text(events)) == 20
        status = daemon.admin("/admin/status")
        assert status["pid"] == daemon.process.pid
        assert [model["state"] for model in status["models"]] == ["ready"]
        assert status["listen"] == [f"127.0.0.1:{daemon.ports[0][1]}"]
        assert daemon.control.stat().st_mode & 0o777 == 0o660
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
        daemon.wait_told("STOPPING=1")
        assert not daemon.control.exists()
        assert "Traceback" not in daemon.log


def test_sigterm_lets_a_running_answer_finish() -> None:
    with running() as daemon:
        connection, idle = daemon.connect(), daemon.connect()
        idle.request("GET", "/healthz")
        idle.getresponse().read()
        response = daemon.chat(connection, max_tokens=60)
        read = first_words(response)
        daemon.signal(signal.SIGTERM)
        assert idle.sock.recv(1) == b""  # an idle connection is closed at once …
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(daemon.ports[0])  # … and nobody new comes in
        events = sse.events(read + response.read())
        assert events[-1] == "[DONE]"
        assert len(sse.text(events)) == 60
        assert daemon.wait() == 0


@pytest.mark.parametrize("how", ["the limit", "a second signal"])
def test_what_ends_the_drain_early(how: str) -> None:
    """The answer takes 80 s, and more than any wait here."""
    drain = "1" if how == "the limit" else "1000"
    with running(env={"MONGARSD_SERVER_DRAIN": drain}) as daemon:
        connection = daemon.connect()
        response = daemon.chat(connection, max_tokens=4000)
        read = first_words(response)
        daemon.signal(signal.SIGINT)
        if how == "a second signal":
            daemon.wait_told("STOPPING=1")
            daemon.signal(signal.SIGINT)
        events = sse.events(read + response.read())
        assert "error" in events[-1]  # the client is told: a cut connection would look like the end
        assert daemon.wait() == 0


def test_sighup_reloads_what_it_can_and_keeps_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text("")
    key = new_key()
    with running("--config", str(file)) as daemon:
        daemon.wait_told("STATUS=ready")
        assert daemon.get("/v1/models")[0] == 200
        assert daemon.admin("/admin/models")[0]["expires_in"] is None

        server = f'[server]\nkey_hashes = ["{key_hash(key)}"]\ndrain = 3\n'
        file.write_text(server + '[models]\nkeep_alive = "1h"\n[log]\nformat = "json"\n')
        daemon.signal(signal.SIGHUP)
        daemon.wait_told("RELOADING=1")
        daemon.wait_told("READY=1")
        assert daemon.get("/v1/models")[0] == 401
        assert daemon.get("/v1/models", Authorization=f"Bearer {key}")[0] == 200
        lines = [json.loads(line) for line in daemon.log.splitlines() if line.startswith("{")]
        assert lines[0]["message"] == "settings reloaded: server.key_hashes, models.keep_alive, log.format"
        assert lines[1]["message"] == "these changed settings need a restart: server.drain"
        assert daemon.admin("/admin/config")["server"]["drain"] == 25.0
        assert 3500 < daemon.admin("/admin/models")[0]["expires_in"] <= 3600

        file.write_text("[server]\nkey_hashes = []\ndrane = 1\n")
        daemon.signal(signal.SIGHUP)
        daemon.wait_told("READY=1")
        assert daemon.get("/v1/models")[0] == 401
        assert f"{file}: server.drane: no such setting; did you mean server.drain?" in daemon.log
        assert "settings not reloaded" in daemon.log
        assert key not in daemon.log


def test_watchdog() -> None:
    with running(env={"WATCHDOG_USEC": "100000"}) as daemon:
        begin = time.monotonic()
        daemon.forget_told()  # all that comes from here on was sent after `begin`
        for _ in range(4):
            daemon.wait_told("WATCHDOG=1")
        assert time.monotonic() - begin > 0.1  # twice as often as systemd asks, not as fast as it can


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_two_addresses_of_two_families() -> None:
    with running("--listen", "[::1]:0") as daemon:
        (_, ipv4), (host, ipv6) = daemon.ports
        assert host == "::1"
        for where in (("127.0.0.1", ipv4), ("::1", ipv6)):
            with socket.create_connection(where, timeout=20) as sock:
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert b"200 OK" in sock.recv(4096)


def test_a_killed_worker_is_no_trouble_to_the_daemon() -> None:
    with running() as daemon:
        daemon.wait_told("STATUS=ready")
        connection = daemon.connect()
        response = daemon.chat(connection, max_tokens=50)
        read = first_words(response)
        (model,) = daemon.admin("/admin/models")
        assert model["busy_slots"] <= 1
        os.kill(model["pid"], signal.SIGKILL)
        events = sse.events(read + response.read())
        assert events[-1] == "[DONE]"
        assert len(sse.text(events)) == 50


def test_without_its_model_it_serves_and_says_what_is_missing(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path, fake=False, state="s")
    try:
        daemon.wait_told("cannot be fetched")
        status, body = daemon.get("/readyz")
        assert status == 503
        assert "models.offline is set" in body["checks"]["model"]
        assert body["checks"]["model"] in daemon.admin("/admin/status")["warnings"]  # the machine may have some, too
        response = daemon.chat(daemon.connect(), max_tokens=5)
        assert response.status == 404
        assert MODEL in json.loads(response.read())["error"]["message"]
    finally:
        daemon.close()
