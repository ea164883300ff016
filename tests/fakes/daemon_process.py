"""`mongarsd` as a child process on a free loopback port, with the test as its systemd."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fakes.gguf_files import U32, build_gguf, llama_values

from mongarsd.ground.settings import ModelSettings
from mongarsd.inference.models.store import ModelStore

MODEL = ModelSettings().default
FAKE = Path(__file__).with_name("fake_backend_daemon.py")
SLOW = "state?step=0.02&rest=x"  # a path the fake backend reads its speed from: 50 tokens a second
LIMIT = 20.0  # seconds any single wait may take


class DaemonProcess:
    """Started when made; waits for READY=1. `log` is what it wrote to standard error so far."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        fake: bool = True,
        state: str = SLOW,
        env: dict[str, str] | None = None,
        under: tuple[str, ...] = (),
    ) -> None:
        """`under`: a command that runs another one in its own place."""
        self.folder, self.state = folder, folder / state
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        (folder / "notify").unlink(missing_ok=True)  # of the daemon that ran here before
        self._notify.bind(str(folder / "notify"))
        self._notify.settimeout(LIMIT)
        self._log = (folder / "log").open("w+b")
        self._open = contextlib.ExitStack()
        self.told: list[str] = []
        self.control = folder / "c.sock"
        program = [str(FAKE)] if fake else ["-m", "mongarsd"]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MONGARSD_")}
        self.process = subprocess.Popen(
            [
                *under,
                sys.executable,
                "-P",
                *program,
                "--state-dir",
                str(self.state),
                "--listen",
                "127.0.0.1:0",
                *arguments,
            ],
            env={
                **clean,
                "NOTIFY_SOCKET": str(folder / "notify"),
                "MONGARSD_MODELS_OFFLINE": "1",
                "MONGARSD_SERVER_OLLAMA_PORT": "off",  # tests run beside each other, and beside a real Ollama
                "MONGARSD_CACHE_ANSWERS": "0",  # a test that asks twice wants it computed twice
                "MONGARSD_CONTROL_SOCKET": str(self.control),
                **(env or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        try:
            self.wait_told("READY=1")
        except BaseException:
            self.close()
            raise

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def ports(self) -> list[tuple[str, int]]:
        (line,) = re.findall(r"listens on (.*)", self.log)
        return [(host.strip("[]"), int(port)) for host, port in re.findall(r"http://(\S+):(\d+)", line)]

    def wait_told(self, message: str) -> str:
        """The next message to systemd that contains `message`."""
        while True:
            try:
                self.told.append(self._notify.recv(4096).decode())
            except TimeoutError:
                raise AssertionError(f"{message} did not come; told {self.told}, log:\n{self.log}") from None
            if message in self.told[-1]:
                return self.told[-1]

    def forget_told(self) -> None:
        """Read all messages to systemd that have come."""
        self._notify.settimeout(0.0)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.told.append(self._notify.recv(4096).decode())
        self._notify.settimeout(LIMIT)

    def connect(self) -> http.client.HTTPConnection:
        """Closed with the daemon, if not before."""
        host, port = self.ports[0]
        return self._open.enter_context(contextlib.closing(http.client.HTTPConnection(host, port, timeout=LIMIT)))

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        with contextlib.closing(self.connect()) as connection:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def text(self, path: str) -> str:
        with contextlib.closing(self.connect()) as connection:
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    def admin(self, path: str, method: str = "GET") -> Any:
        with contextlib.closing(http.client.HTTPConnection("localhost", timeout=LIMIT)) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(LIMIT)
            connection.sock.connect(str(self.control))
            connection.request(method, path)
            return json.loads(connection.getresponse().read())

    def post(self, path: str, body: object, *, admin: bool = False) -> tuple[int, bytes]:
        """(status, answer); with `admin` over the control socket."""
        connection = http.client.HTTPConnection("localhost", timeout=20) if admin else self.connect()
        with contextlib.closing(connection):
            if admin:
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.connect(str(self.control))
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()

    def ctl(self, *arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """mongarsctl, over the control socket."""
        return subprocess.run(
            [sys.executable, "-P", "-c", "from mongarsd.ctl.main import main; main()", *arguments],
            env={**os.environ, "MONGARSD_SOCKET": str(self.control), **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def chat(self, connection: http.client.HTTPConnection, **more: Any) -> http.client.HTTPResponse:
        """A long answer of exactly `max_tokens` tokens, streamed."""
        body = {"messages": [{"role": "user", "content": "go"}], "stream": True, "ignore_eos": True, **more}
        body.setdefault("model", MODEL)
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        return connection.getresponse()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(LIMIT)

    def close(self) -> None:
        self._open.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()
        self._notify.close()


def install(state: Path) -> None:
    """Put a model file of the default model's name into a state directory. Only the fake backend can use it."""
    file = state / "tiny.gguf"
    state.mkdir(parents=True)
    file.write_bytes(build_gguf(llama_values(llama__context_length=(U32, 4096))))

    async def pull() -> None:
        store = ModelStore(state, offline=True)
        async for _ in store.pull(f"file:{file}", MODEL):
            pass
        await store.close()

    asyncio.run(pull())


@contextlib.contextmanager
def running(*arguments: str, **more: Any) -> Iterator[DaemonProcess]:
    """A daemon that has a model. Its folder is short: a Unix socket's path has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="m"))
    daemon = None
    try:
        install(folder / more.get("state", SLOW))
        daemon = DaemonProcess(folder, *arguments, **more)
        yield daemon
    finally:
        if daemon:
            daemon.close()
        shutil.rmtree(folder)
