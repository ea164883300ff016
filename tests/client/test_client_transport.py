"""What both clients do with addresses, answers, refusals and connections that break."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from fakes.clients import KINDS, Face, Kind
from fakes.control_daemon import MODEL, NODE, FakeDaemon, ndjson, says, sse

from mongarsd.client import errors
from mongarsd.client.call import Call

pytestmark = pytest.mark.parametrize("kind", KINDS)
NOTHING: Call[None] = Call("GET", "/x", type(None))
ANYTHING: Call[Any] = Call("GET", "/x", dict[str, Any])


def face(kind: Kind, tmp_path: Path, **options: Any) -> Face:
    return Face(kind, socket=tmp_path / "control.sock", retries=0, **options)


def error(face: Face, asked: Call[Any] = ANYTHING) -> errors.MongarsError:
    with pytest.raises(errors.MongarsError) as caught:
        face.run(asked)
    assert "\n" not in caught.value.message
    return caught.value


def test_an_answer_has_its_type(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    assert face(kind, tmp_path).status() == NODE


def test_the_first_socket_that_answers_is_taken(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / "run" / "control.sock"
    stale.parent.mkdir()
    (tmp_path / "state" / "mongarsd").mkdir(parents=True)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(stale))  # nobody listens
        with FakeDaemon(tmp_path / "state" / "mongarsd" / "control.sock"):
            assert Face(kind).status() == NODE
        monkeypatch.setenv("MONGARSD_SOCKET", str(tmp_path / "named"))
        assert "named" in error(Face(kind, retries=0)).message


def test_no_daemon(kind: Kind, tmp_path: Path) -> None:
    found = error(Face(kind, socket=tmp_path / "a.sock"))
    assert isinstance(found, errors.Unreachable)
    assert "not running" in found.message
    assert "start it with" in found.message


def test_too_long_a_path(kind: Kind, tmp_path: Path) -> None:
    found = error(Face(kind, socket=tmp_path / ("x" * 120)))
    assert isinstance(found, errors.BadAddress)
    assert "107 bytes" in found.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_socket_that_others_may_not_use(kind: Kind, daemon: FakeDaemon) -> None:
    code = (
        "import grp, http.client, os, sys, aiohttp, yarl, asyncio\n"
        "from mongarsd.client import Client, AsyncClient, errors\n"
        "import mongarsd.client.aio\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    if sys.argv[2] == 'sync': Client(socket=sys.argv[1]).status()\n"
        "    else: asyncio.run(AsyncClient(socket=sys.argv[1]).status())\n"
        "except errors.Forbidden as f: print(f.message)\n"
    )
    # pytest's tmp_path is closed to others, so the path itself is what may not be entered
    command = [sys.executable, "-c", code, str(daemon._server.server_address), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "usermod -aG" in done.stdout


@pytest.mark.parametrize(
    ("status", "code", "kind_of"),
    [
        (400, "invalid_request", errors.BadRequest),
        (400, "context_length_exceeded", errors.ContextOverflow),
        (401, "invalid_api_key", errors.Unauthorized),
        (403, "forbidden", errors.Forbidden),
        (404, "model_not_found", errors.ModelNotFound),
        (404, "what", errors.NotFound),
        (405, "method_not_allowed", errors.BadRequest),
        (409, "conflict", errors.Conflict),
        (413, "request_too_large", errors.TooLarge),
        (429, "rate_limit_exceeded", errors.RateLimited),
        (500, "what", errors.MongarsError),
        (503, "loading", errors.Loading),
        (503, "what", errors.Busy),
        (507, "storage_full", errors.StorageFull),
    ],
)
def test_an_error_has_the_class_of_its_code_or_of_its_status(
    kind: Kind, daemon: FakeDaemon, tmp_path: Path, status: int, code: str, kind_of: type[Exception]
) -> None:
    told = {"message": "say it", "type": "t", "param": "p", "code": code, "position": 3}
    daemon.answers["GET /x"] = (status, {"error": told})
    found = error(face(kind, tmp_path, key="k"))
    assert (type(found), found.message, found.param, found.detail) == (kind_of, "say it", "p", {"position": 3})


def test_an_error_of_another_shape(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.answers["GET /x"] = (500, {"error": "text"})
    assert error(face(kind, tmp_path)).message == "text"
    for body in (b"<html>", b"", [1], {"error": {}}, {"error": {"message": 3}}):
        daemon.answers["GET /x"] = (502, body)
        assert "HTTP status 502" in error(face(kind, tmp_path)).message


def test_without_a_key_the_remedy_is_named(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.answers["GET /x"] = (401, {"error": {"message": "no", "code": "invalid_api_key"}})
    assert "MONGARSD_API_KEY" in error(face(kind, tmp_path)).message


def test_an_expected_status_is_an_answer(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.answers["GET /readyz"] = (503, {"checks": {"model": "loading"}})
    assert face(kind, tmp_path).ready().checks == {"model": "loading"}


@pytest.mark.parametrize("body", [b"<html>", b"\xff\xfe", [1, 2], b'{"x": %b' % (b"[" * 100_000)])
def test_an_answer_that_is_not_ours(kind: Kind, daemon: FakeDaemon, tmp_path: Path, body: Any) -> None:
    daemon.answers["GET /x"] = (200, body)
    found = error(face(kind, tmp_path))
    assert isinstance(found, errors.NotUnderstood)
    assert "is it mongarsd" in found.message


def test_an_answer_without_end_is_refused(
    kind: Kind, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("sync", "aio"):
        monkeypatch.setattr(f"mongarsd.client.{module}.MAX_ANSWER", 1000)
    daemon.answers["GET /x"] = (200, b" " * 1001)
    assert "1000 bytes" in error(face(kind, tmp_path)).message
    daemon.answers["GET /x"] = (200, b"{}" + b" " * 998)
    assert face(kind, tmp_path).run(ANYTHING) == {}


def test_an_empty_answer(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.answers["GET /x"] = (204, b"")
    assert face(kind, tmp_path).run(NOTHING) is None


def test_a_key_and_a_body_are_sent(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.answers["POST /v1/memory"] = (
        200,
        {"id": "m", "text": "t", "source": "fact", "created_at": 1, "embedded": False},
    )
    face(kind, tmp_path, key="mg-1\n").remember("a fact")
    (request,) = daemon.requests
    assert request.body == {"text": "a fact"}
    assert request.headers["Authorization"] == "Bearer mg-1"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Host"] == "localhost"
    assert request.headers["Connection"] == "close"


def test_the_key_comes_from_the_environment(
    kind: Kind, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGARSD_API_KEY", "mg-2")
    face(kind, tmp_path).status()
    assert daemon.requests[0].headers["Authorization"] == "Bearer mg-2"


def test_secrets_are_not_shown(kind: Kind) -> None:
    client = Face(kind, "http://pi:1", key="mg-secret").client
    assert repr(client) in ("Client('http://pi:1')", "AsyncClient('http://pi:1')")
    for wrong in ({"key": "mg-secret\r\nX: y"}, {"url": "http://u:mg-secret@pi"}, {"url": "pi@mg-secret"}):
        with pytest.raises(errors.BadAddress) as caught:
            Face(kind, **wrong)
        assert "secret" not in repr(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        *("pi:8420", "ftp://pi", "http://", "http://u:p@pi", "http://pi:99999", "http://[", "x"),
        *("http://a pi", "http://pi..local", "http://" + "p" * 64, "http://pi\x7f", "http://pi?a=b"),
    ],
)
def test_a_wrong_url(kind: Kind, url: str) -> None:
    with pytest.raises(errors.BadAddress):
        Face(kind, url)


def test_a_url_and_a_socket_are_one_too_many(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(errors.BadAddress):
        Face(kind, "http://pi", socket=tmp_path)


def test_over_tcp_with_a_base_path(kind: Kind) -> None:
    with FakeDaemon() as daemon:
        daemon.answers["POST /v1/chat/completions"] = says("x", "y")
        for url in (daemon.url, daemon.url + "/v1/"):
            assert Face(kind, url).status() == NODE
            assert "".join(chunk.text for chunk in Face(kind, url).stream("q")) == "xy"


def test_the_administration_over_tcp_is_refused_with_a_remedy(kind: Kind) -> None:
    with FakeDaemon() as daemon:
        daemon.answers["GET /admin/status"] = (403, {"error": {"message": "no", "code": "forbidden"}})
        with pytest.raises(errors.Forbidden, match=r"ssh 127\.0\.0\.1 mongarsctl status"):
            Face(kind, daemon.url).status()


def test_nothing_at_the_url(kind: Kind) -> None:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(errors.Unreachable, match="nothing answers"):
            Face(kind, f"http://127.0.0.1:{sock.getsockname()[1]}").alive()


def test_https_to_what_speaks_none(kind: Kind) -> None:
    with FakeDaemon() as daemon, pytest.raises(errors.Unreachable):
        Face(kind, daemon.url.replace("http:", "https:")).alive()


def test_pull_comes_step_by_step(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.answers["POST /admin/models/pull"] = ndjson({"status": "a"}, {"status": "success"})
    assert [step.status for step in face(kind, tmp_path).pull("x")] == ["a", "success"]
    assert daemon.requests[-1].body == {"ref": "x"}


def test_names_are_quoted(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.answers["POST /admin/models/a%2F..%2Fb%3Fc/load"] = (200, MODEL)
    assert face(kind, tmp_path).load("a/../b?c") == MODEL


def test_events_come_at_once_and_closing_cancels(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    go_on = threading.Event()

    def endless(_: object) -> Iterator[bytes]:
        yield from sse({"content": "1"}, finish=None, done=False)
        go_on.wait(20)
        for _ in range(100_000):
            yield b": ping\n\n" * 100

    daemon.answers["POST /v1/chat/completions"] = endless
    with face(kind, tmp_path).stream("q") as chunks:
        (chunk,) = itertools.islice(chunks, 1)
    assert chunk.text == "1"
    go_on.set()
    assert daemon.gone.wait(20)


def test_a_stream_that_breaks_off(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.answers["POST /v1/chat/completions"] = says("half", finish=None, done=False)
    with pytest.raises(errors.BrokenOff):
        list(face(kind, tmp_path).stream("q"))
    daemon.answers["POST /v1/responses"] = lambda _: iter([b'data: {"type": "response.created"}\n\n'])
    with pytest.raises(errors.BrokenOff):
        list(face(kind, tmp_path).respond_stream("q"))


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error": {"message": "crashed", "code": "worker_crashed"}}\n\n',
        b'data: {"type": "error", "message": "crashed", "code": "worker_crashed", "param": null}\n\n',
    ],
)
def test_an_error_in_a_stream(kind: Kind, daemon: FakeDaemon, tmp_path: Path, event: bytes) -> None:
    path, name = ("chat/completions", "stream") if b"type" not in event else ("responses", "respond_stream")
    daemon.answers[f"POST /v1/{path}"] = lambda _: iter([event])
    with pytest.raises(errors.MongarsError, match="crashed") as caught:
        list(getattr(face(kind, tmp_path), name)("q"))
    assert caught.value.code == "worker_crashed"


def test_what_came_before_an_error_is_not_lost(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    """Also when both come at once."""
    piece = b"".join(sse({"content": "half"}, finish=None, done=False)) + b'data: {"error": {"message": "m"}}\n\n'
    daemon.answers["POST /v1/chat/completions"] = lambda _: iter([piece])
    chunks = face(kind, tmp_path).stream("q")
    assert next(chunks).text == "half"
    with pytest.raises(errors.MongarsError, match="m"):
        next(chunks)


def test_a_connection_that_breaks_within_an_answer(kind: Kind, tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\n" + b'{"half": '

    def serve() -> None:
        taken, _ = sock.accept()
        taken.recv(65536)
        taken.sendall(answer)
        taken.close()

    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(tmp_path / "rude.sock"))
        sock.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        found = error(Face(kind, socket=tmp_path / "rude.sock"), Call("POST", "/x", dict[str, Any]))
        thread.join()
    assert isinstance(found, errors.BrokenOff)


def test_an_error_in_a_stream_that_says_nothing(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.answers["POST /v1/chat/completions"] = lambda _: iter([b'data: {"error": {"code": 3}}\n\n'])
    with pytest.raises(errors.MongarsError, match="does not say why"):
        list(face(kind, tmp_path).stream("q"))


def test_silence_is_reported(kind: Kind, tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(tmp_path / "mute.sock"))
        sock.listen()
        found = error(Face(kind, socket=tmp_path / "mute.sock", timeout=0.05))
    assert isinstance(found, errors.Unreachable)
    assert "was silent" in found.message


def hang_up(listening: socket.socket) -> None:
    """On everybody: aiohttp tries what changes nothing twice."""
    with suppress(OSError):
        while True:
            listening.accept()[0].close()


def test_a_server_that_hangs_up(kind: Kind, tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(str(tmp_path / "rude.sock"))
        sock.listen()
        thread = threading.Thread(target=hang_up, args=(sock,))
        thread.start()
        found = error(Face(kind, socket=tmp_path / "rude.sock"))
        sock.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert isinstance(found, errors.Unreachable)


def test_a_busy_node_is_asked_again_when_it_says_so(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    naps: list[float] = []
    daemon.answers["GET /x"] = (503, {"error": {"message": "full", "code": "busy", "retry_after": 2.5}})

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            daemon.answers["GET /x"] = (200, {})

    patient = Face(kind, socket=tmp_path / "control.sock", sleep=sleep)
    assert patient.run(ANYTHING) == {}
    assert naps == [0.5, 1.0]  # it said nothing in its headers
    assert len(daemon.requests) == 3


def test_no_more_often_than_asked(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    naps: list[float] = []
    daemon.answers["GET /x"] = (429, {"error": {"message": "slow", "code": "rate_limit_exceeded"}})
    found = error(Face(kind, socket=tmp_path / "control.sock", sleep=naps.append, retries=3))
    assert isinstance(found, errors.RateLimited)
    assert naps == [0.5, 1.0, 2.0]


def test_a_file_is_sent_and_a_refusal_of_it_is_understood(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 300_000)
    daemon.answers["POST /v1/files"] = (200, {"id": "file-1"})
    assert face(kind, tmp_path).upload(tmp_path / "a.txt").id == "file-1"
    assert int(daemon.requests[-1].headers["Content-Length"]) > 300_000
    with pytest.raises(OSError, match="No such file"):
        face(kind, tmp_path).upload(tmp_path / "none.txt")


def test_pages_are_followed(kind: Kind, daemon: FakeDaemon, tmp_path: Path) -> None:
    def page(*names: str, more: bool) -> tuple[int, Any]:
        return 200, {"data": [{"id": name} for name in names], "has_more": more, "after": names[-1] if more else None}

    daemon.answers["GET /v1/conversations?q=pi&limit=2"] = page("a", "b", more=True)
    daemon.answers["GET /v1/conversations?q=pi&limit=2&after=b"] = page("c", more=False)
    assert [one.id for one in face(kind, tmp_path).conversations(q="pi", limit=2)] == ["a", "b", "c"]
