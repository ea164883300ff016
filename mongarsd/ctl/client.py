"""A small synchronous client of the daemon: JSON, NDJSON and server-sent events, over the control socket or TCP.

One connection a request: nothing to keep alive, and closing it is how a request is cancelled.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from mongarsd.ctl import places
from mongarsd.ctl.exits import Exit, Failure
from mongarsd.ctl.form import FileForm
from mongarsd.ctl.streams import sse
from mongarsd.ctl.terminal import clean

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

T = TypeVar("T")

QUICK = 10.0  # seconds a status may take; it does not depend on the model
SLOW = 600.0  # seconds of silence while a model loads or a board reads a long prompt; openai-python waits as long
MAX_ANSWER = 64 << 20  # bytes of one JSON answer
MAX_LINE = 8 << 20  # bytes of one streamed line

_CODES = {401: Exit.REFUSED, 403: Exit.REFUSED, 404: Exit.NOT_FOUND, 421: Exit.REFUSED, 429: Exit.BUSY, 503: Exit.BUSY}


class Client:
    """Talks to `url` if given, else to the first of `sockets` that answers. Every method raises Failure."""

    def __init__(self, sockets: Sequence[Path], url: str | None = None, key: str | None = None) -> None:
        self.url = url
        self._sockets = sockets
        self._key = key
        self._base = ""
        self._address = ("", 0)
        self._tls = False
        if url:
            self._parse(url)

    @property
    def where(self) -> str:
        return self.url or str(self._sockets[0])

    def get(self, path: str, kind: type[T], timeout: float = QUICK, expected: int | None = None) -> T:
        """The decoded JSON answer; one with the error status `expected` is no failure."""
        return self._send("GET", path, kind, None, timeout, expected)

    def send(self, method: str, path: str, kind: type[T], body: Any = None) -> T:
        """The decoded JSON answer; None for an empty one if `kind` allows it."""
        return self._send(method, path, kind, body, SLOW, None)

    def _send(self, method: str, path: str, kind: type[T], body: Any, timeout: float, expected: int | None) -> T:
        with self._answer(method, path, body, timeout, expected) as response:
            data = response.read(MAX_ANSWER)
        return self._decode(data or b"null", kind)

    def lines(self, method: str, path: str, kind: type[T], body: Any = None) -> Generator[T, None, None]:
        """Each line of an NDJSON answer, as it comes. Close the generator to cancel."""
        with closing(self._lines(method, path, body)) as lines:
            for line in lines:
                if line.strip():
                    yield self._decode(line, kind)

    def events(self, path: str, body: Any) -> Generator[bytes, None, None]:
        """The data of each server-sent event, as it comes. Close the generator to cancel."""
        with closing(self._lines("POST", path, body)) as lines:
            yield from sse(lines)

    def pieces(self, path: str) -> Generator[bytes, None, None]:
        """The bytes of a long answer, as they come."""
        with self._answer("GET", path, None, SLOW) as response:
            while piece := response.read1(65536):
                yield piece

    def reachable(self, path: str = "/healthz", timeout: float = QUICK) -> bool:
        """Does something answer there in HTTP, whatever it says?"""
        try:
            with self._answer("GET", path, None, timeout):
                return True
        except Failure as failure:
            return failure.code != Exit.UNREACHABLE

    def _lines(self, method: str, path: str, body: Any) -> Generator[bytes, None, None]:
        with self._answer(method, path, body, SLOW) as response:
            while line := response.readline(MAX_LINE):
                yield line

    @contextmanager
    def _answer(
        self, method: str, path: str, body: Any, timeout: float, expected: int | None = None
    ) -> Iterator[HTTPResponse]:
        from http.client import HTTPException  # 35 to 60 ms, not needed for --help

        connection = self._connect(timeout)
        headers = {"Accept": "application/json, application/x-ndjson, text/event-stream", "Connection": "close"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        data: Any = None
        if isinstance(body, FileForm):
            headers |= {"Content-Type": body.content_type, "Content-Length": str(body.length)}
            data = body
        elif method == "POST":
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode({} if body is None else body)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent: the answer says why
                connection.request(method, self._base + path, data, headers)
            with connection.getresponse() as response:
                if not 200 <= response.status < 300 and response.status != expected:
                    raise self._refusal(path, response.status, response.read(MAX_ANSWER))
                yield response
        except TimeoutError as error:
            raise Failure(
                f"{self.where} was silent for {timeout:.0f} s; `mongarsctl doctor` may know why", Exit.UNREACHABLE
            ) from error
        except (OSError, HTTPException) as error:
            raise Failure(f"the connection to {self.where} broke: {_reason(error)}", Exit.UNREACHABLE) from error
        finally:
            connection.close()

    def _connect(self, timeout: float) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection

        if not self.url:
            connection = HTTPConnection("localhost", timeout=timeout)
            connection.sock = _open_socket(self._sockets, timeout)
            return connection
        host, port = self._address
        connection = (HTTPSConnection if self._tls else HTTPConnection)(host, port, timeout=timeout)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise Failure(
                f"nothing answers at {self.url}: {_reason(error)}; is mongarsd running there, and set to listen on "
                "more than 127.0.0.1?",
                Exit.UNREACHABLE,
            ) from error
        return connection

    def _parse(self, url: str) -> None:
        wrong = Failure(
            f"--url {clean(url)} is not of the form http://HOST:PORT, for example http://raspberrypi.local:8420",
            Exit.USAGE,
        )
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise wrong from error
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise wrong
        self._tls = parts.scheme == "https"
        self._address = (parts.hostname, port or (443 if self._tls else 80))
        # The base URL that OpenAI clients want ends in /v1: take it too.
        self._base = quote(parts.path.rstrip("/").removesuffix("/v1"), safe="/%")

    def _refusal(self, path: str, status: int, data: bytes) -> Failure:
        message, reason = _error(data)
        if self.url and path.startswith("/admin/") and status in (401, 403):
            host = self._address[0]
            return Failure(
                f"{self.url} wants a key with the scope admin for that: set MONGARSD_API_KEY, or run mongarsctl "
                f"on that machine, for example `ssh {clean(host)} mongarsctl status`",
                Exit.REFUSED,
            )
        message = message or f"{self.where} answered with HTTP status {status}"
        if status == 401 and not self._key:
            message = f"{self.where} wants an API key: set MONGARSD_API_KEY, or give --key"
        return Failure(message, _CODES.get(status, Exit.FAILURE), reason)

    def _decode(self, data: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Failure(
                f"{self.where} gave an answer that is not understood ({clean(str(error))}): "
                "is it mongarsd, and of the same version as mongarsctl?"
            ) from error


def model_path(name: str, verb: str = "") -> str:
    return f"/admin/models/{quote(name, safe='')}" + (f"/{verb}" if verb else "")


def _error(data: bytes) -> tuple[str, str]:
    """Message and code of OpenAI's error object, or the message of Ollama's string; empty if it is neither."""
    try:
        error = msgspec.json.decode(data)["error"]
        if isinstance(error, dict):
            return clean(str(error["message"])), str(error.get("code") or "")
        return clean(str(error)), ""
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError):
        return "", ""


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or clean(str(error)) or type(error).__name__


def _open_socket(paths: Sequence[Path], timeout: float) -> socket.socket:
    """A connection to the first path that answers; else the failure that says most."""
    denied: Path | None = None
    for path in paths:
        if len(os.fsencode(path)) > places.LONGEST_PATH:
            raise Failure(f"{path} is too long for a Unix socket ({places.LONGEST_PATH} bytes at most)", Exit.USAGE)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        try:
            sock.connect(os.fspath(path))
        except PermissionError:
            denied = denied or path
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED, errno.ENOTSOCK):
                sock.close()
                raise Failure(f"{path} cannot be used: {_reason(error)}", Exit.UNREACHABLE) from error
        else:
            return sock
        sock.close()
    if denied:
        raise Failure(
            f"mongarsd is running, but you may not use {denied}: join its group with "
            f"`sudo usermod -aG {_group(denied)} $USER` and log in again, or use sudo",
            Exit.REFUSED,
        )
    looked = paths[0] if len(paths) == 1 else "any of " + ", ".join(str(path) for path in paths)
    raise Failure(
        f"mongarsd is not running (no daemon answers at {looked}): start it with {places.how_to_start()}; "
        "if it has a state directory of its own, name that with --socket DIR",
        Exit.UNREACHABLE,
    )


def _group(path: Path) -> str:
    import grp

    try:
        return grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return "mongarsd"
