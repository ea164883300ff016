"""A TCP proxy that cuts WebSockets after as many bytes as chance wants; whatever else comes passes whole."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from random import Random


class CuttingProxy:
    """`cuts`: how many connections were cut. Use with `with`; `url` is where it listens."""

    def __init__(self, target: tuple[str, int], seed: int, most: int = 6000) -> None:
        self.cuts = 0
        self.left = 12  # connections that are yet to be cut
        self._target, self._random, self._most = target, Random(seed), most
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        host, port = self._listening.getsockname()
        return f"http://{host}:{port}"

    def __enter__(self) -> CuttingProxy:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def cut(self) -> None:
        """Every connection, now."""
        for one in list(self._open):
            _kill(one)

    def _start(self, work: object, *arguments: object) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))  # type: ignore[arg-type]
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:  # the daemon is gone
                client.close()
                continue
            self._open |= {client, server}
            first = b""
            with suppress(OSError):
                first = client.recv(65536)
                server.sendall(first)
            budget = None
            if b"GET /v1/ws?" in first and self.left:
                self.left -= 1
                budget = self._random.randrange(self._most)
            self._start(self._carry, client, server, None)
            self._start(self._carry, server, client, budget)

    def _carry(self, source: socket.socket, sink: socket.socket, budget: int | None) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                if budget is not None:
                    data, budget = data[:budget], budget - len(data)
                sink.sendall(data)
                if budget is not None and budget <= 0:
                    self.cuts += 1
                    break
        _kill(source)
        _kill(sink)
        self._open -= {source, sink}


def _kill(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
