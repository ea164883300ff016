from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fakes.control_daemon import MODEL, NODE, FakeDaemon, ndjson, says

from mongarsd.ctl.client import Client, model_path
from mongarsd.ctl.exits import Exit, Failure
from mongarsd.ground.status import NodeStatus, PullProgress


@pytest.fixture
def client(daemon: FakeDaemon, tmp_path: Path) -> Client:
    return Client([tmp_path / "control.sock"])


def failure(client: Client, path: str = "/x", **options: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        client.get(path, dict[str, Any], **options)
    assert "\n" not in caught.value.message
    return caught.value


def test_get_decodes_into_the_type(client: Client) -> None:
    assert client.get("/admin/status", NodeStatus) == NODE


def test_the_first_socket_that_answers_is_taken(daemon: FakeDaemon, tmp_path: Path) -> None:
    stale = tmp_path / "stale.sock"
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(stale))  # nobody listens
    sockets = [tmp_path / "missing.sock", stale, tmp_path / "control.sock"]
    assert Client(sockets).get("/admin/status", NodeStatus) == NODE


def test_no_daemon(tmp_path: Path) -> None:
    found = failure(Client([tmp_path / "a.sock", tmp_path / "b.sock"]))
    assert found.code is Exit.UNREACHABLE
    assert "not running" in found.message
    assert "start it with" in found.message


def test_too_long_a_path(tmp_path: Path) -> None:
    found = failure(Client([tmp_path / ("x" * 120)]))
    assert found.code is Exit.USAGE
    assert "107 bytes" in found.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_socket_that_others_may_not_use(daemon: FakeDaemon) -> None:
    code = (
        "import grp, http.client, os, pathlib, sys, mongarsd.ctl.client as c\n"
        "from mongarsd.ctl.exits import Failure\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: c.Client([pathlib.Path(sys.argv[1])]).get('/x', dict)\n"
        "except Failure as f: print(int(f.code), f.message)\n"
    )
    # pytest's tmp_path is closed to others, so the path itself is what may not be entered
    (path,) = [daemon._server.server_address]
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("5 ")
    assert "usermod -aG" in done.stdout


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, Exit.FAILURE),
        (401, Exit.REFUSED),
        (403, Exit.REFUSED),
        (404, Exit.NOT_FOUND),
        (409, Exit.FAILURE),
        (429, Exit.BUSY),
        (500, Exit.FAILURE),
        (503, Exit.BUSY),
        (507, Exit.FAILURE),
    ],
)
def test_statuses_become_exit_codes(daemon: FakeDaemon, client: Client, status: int, code: Exit) -> None:
    daemon.answers["GET /x"] = (status, {"error": {"message": "say\x1b it", "code": "why"}})
    found = Client(client._sockets, key="k") if status == 401 else client
    with pytest.raises(Failure) as caught:
        found.get("/x", dict[str, Any])
    assert (caught.value.code, caught.value.message, caught.value.reason) == (code, "say it", "why")


def test_without_a_key_the_remedy_is_named(daemon: FakeDaemon, client: Client) -> None:
    daemon.answers["GET /x"] = (401, {"error": {"message": "no", "code": "invalid_api_key"}})
    assert "MONGARSD_API_KEY" in failure(client).message


def test_a_string_error_and_none_at_all(daemon: FakeDaemon, client: Client) -> None:
    daemon.answers["GET /x"] = (500, {"error": "text"})
    assert failure(client).message == "text"
    for body in (b"<html>", b"", [1], {"error": {}}):
        daemon.answers["GET /x"] = (502, body)
        assert "HTTP status 502" in failure(client).message


@pytest.mark.parametrize("body", [b"<html>", b"\xff\xfe", [1, 2]])
def test_an_answer_that_is_not_ours(daemon: FakeDaemon, client: Client, body: Any) -> None:
    daemon.answers["GET /x"] = (200, body)
    assert "is it mongarsd" in failure(client).message


def test_an_empty_answer(daemon: FakeDaemon, client: Client) -> None:
    daemon.answers["DELETE /x"] = (204, b"")
    assert client.send("DELETE", "/x", Any) is None


def test_a_key_and_a_body_are_sent(daemon: FakeDaemon, client: Client) -> None:
    daemon.answers["POST /x"] = (200, {})
    Client(client._sockets, key="mg-1").send("POST", "/x", dict[str, Any], {"a": 1})
    (request,) = daemon.requests
    assert request.body == {"a": 1}
    assert request.headers["Authorization"] == "Bearer mg-1"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Host"] == "localhost"


def test_ndjson_comes_line_by_line(daemon: FakeDaemon, client: Client) -> None:
    daemon.answers["POST /pull"] = ndjson({"status": "a"}, {"status": "success"})
    assert [line.status for line in client.lines("POST", "/pull", PullProgress)] == ["a", "success"]


def test_events_come_at_once_and_closing_cancels(daemon: FakeDaemon, client: Client) -> None:
    go_on = threading.Event()

    def endless(_: object) -> Iterator[bytes]:
        yield b"data: 1\n\n"
        go_on.wait(5)
        for _ in range(100_000):
            yield b"data: 2\n\n" * 100

    daemon.answers["POST /stream"] = endless
    events = client.events("/stream", {})
    assert next(events) == b"1"
    events.close()
    go_on.set()
    assert daemon.gone.wait(5)


def test_silence_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "mute.sock"
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(path))
        sock.listen()
        found = failure(Client([path]), timeout=0.05)
    assert found.code is Exit.UNREACHABLE
    assert "was silent" in found.message


def test_a_server_that_hangs_up(tmp_path: Path) -> None:
    path = tmp_path / "rude.sock"
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(path))
        sock.listen()
        thread = threading.Thread(target=lambda: sock.accept()[0].close())
        thread.start()
        found = failure(Client([path]))
        thread.join()
    assert found.code is Exit.UNREACHABLE


def test_over_tcp_with_a_base_path() -> None:
    with FakeDaemon() as daemon:
        assert Client([], daemon.url).get("/admin/status", NodeStatus) == NODE
        assert Client([], daemon.url + "/v1/").get("/admin/status", NodeStatus) == NODE
        assert Client([], daemon.url).reachable()
        daemon.answers["POST /v1/chat/completions"] = says("x")
        assert next(Client([], daemon.url).events("/v1/chat/completions", {}))


def test_the_administration_over_tcp_is_refused_with_a_remedy() -> None:
    with FakeDaemon() as daemon:
        daemon.answers["GET /admin/status"] = (403, {"error": {"message": "no", "code": "forbidden"}})
        found = failure(Client([], daemon.url), "/admin/status")
    assert found.code is Exit.REFUSED
    assert "ssh 127.0.0.1 mongarsctl status" in found.message


def test_an_expected_status_is_an_answer(daemon: FakeDaemon, client: Client) -> None:
    daemon.answers["GET /x"] = (503, {"a": 1})
    assert client.get("/x", dict[str, int], expected=503) == {"a": 1}


def test_nothing_at_the_url() -> None:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        client = Client([], f"http://127.0.0.1:{sock.getsockname()[1]}")
        assert failure(client).code is Exit.UNREACHABLE
        assert not client.reachable()


@pytest.mark.parametrize("url", ["pi:8420", "ftp://pi", "http://", "http://u:p@pi", "http://pi:99999", "http://[", "x"])
def test_a_wrong_url(url: str) -> None:
    with pytest.raises(Failure) as caught:
        Client([], url)
    assert caught.value.code is Exit.USAGE


def test_names_are_quoted() -> None:
    assert model_path("a/../b?c", "load") == "/admin/models/a%2F..%2Fb%3Fc/load"
    assert model_path(MODEL.name) == "/admin/models/smollm2-135m-instruct"
