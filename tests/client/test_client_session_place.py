"""What is said in a session goes to the address that was given, and nowhere else."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from fakes.clients import KINDS, Face, Kind
from fakes.control_daemon import FakeDaemon
from websockets.sync.server import ServerConnection, serve

from mongarsd.client import errors


@contextmanager
def stranger(heard: list[str | bytes]) -> Iterator[str]:
    """Opens a session for everybody."""

    def listen(connection: ServerConnection) -> None:
        connection.send(json.dumps({"event": {"type": "session.opened", "session": "ws_1"}}))
        heard.append(connection.recv())

    with serve(listen, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()


def send_on(listening: socket.socket, place: str) -> None:
    """Gives a ticket, and then another address."""
    for answer in (b'200 OK\r\nContent-Length: 14\r\n\r\n{"ticket":"t"}', b"302 Found\r\nLocation: ws://%b/\r\n\r\n"):
        one, _ = listening.accept()
        with one:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = one.recv(65536)
                assert piece, head
                head += piece
            one.sendall(b"HTTP/1.1 " + answer.replace(b"%b", place.encode()))
            one.shutdown(socket.SHUT_WR)
            while one.recv(65536):
                pass


@pytest.mark.parametrize("kind", KINDS)
def test_no_proxy_is_told(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as proxy, FakeDaemon() as daemon:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        proxy.setblocking(False)
        assert Face(kind, daemon.url, timeout=20.0).models().names
        with pytest.raises(BlockingIOError):
            proxy.accept()


@pytest.mark.parametrize("kind", KINDS)
def test_a_redirect_is_not_followed(kind: Kind) -> None:
    heard: list[str | bytes] = []
    with stranger(heard) as place, closing(socket.create_server(("127.0.0.1", 0))) as listening:
        sending = threading.Thread(target=send_on, args=(listening, place), daemon=True)
        sending.start()
        face = Face(kind, f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=20.0)
        with pytest.raises(errors.Unreachable, match="sends its WebSocket on"), face.session(patience=0.0) as session:
            next(iter(session.respond("a secret")))
        sending.join(20)
    assert not heard
