"""A worker process and the pipe to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from mongarsd.inference.pool.link import Link
from mongarsd.inference.worker.protocol import FromWorker, ToWorker

log = logging.getLogger(__name__)

#: -P: never import from the current directory. faulthandler: a SIGSEGV leaves a Python traceback in the log.
COMMAND = (sys.executable, "-P", "-X", "faulthandler", "-m", "mongarsd.inference.worker")
#: Seconds between the end of the pipe and of the process before the rest is ended by force.
LINGER = 0.5
#: Native code reads hostile files: it need not see the hub's token.
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|_KEY", re.IGNORECASE)
#: How long libgomp's threads spin at a barrier before they sleep. Its default of 300,000 is a disaster beside a busy
#: process: a waiting thread burns the core that the awaited one needs. Measured (two cores, SmolLM2-135M, two threads,
#: tokens a second of 1 and 4 streams): default 147/276 on an idle board and below 1/7 beside one busy process; 3,000:
#: 142/275 and 14/46; never spinning: 29/115 and 72/130. Live threads end the contention after a second.
_SPIN = "3000"
_LINE = 500  # bytes of a line of output that are kept
_TAIL = 20  # lines kept to explain a crash


class WorkerProcess(asyncio.SubprocessProtocol):
    """Made by `spawn`. `ended` resolves to a phrase ("was killed by SIGSEGV") once process and pipe are gone.

    The child has a session of its own, so Ctrl-C at the daemon's terminal does not reach it before the drain; it
    exits at the end of the pipe, that is also when the daemon dies.
    """

    def __init__(self, receive: Callable[[FromWorker], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._link = Link(receive, self._link_lost)
        self._transport: asyncio.SubprocessTransport | None = None
        self._link_open = True
        self._timer: asyncio.TimerHandle | None = None
        self._line = b""
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self.pid = 0
        self.ended: asyncio.Future[str] = self._loop.create_future()

    @classmethod
    async def spawn(cls, command: Sequence[str], receive: Callable[[FromWorker], None]) -> WorkerProcess:
        """Start `command FD`. Raises OSError when the system refuses."""
        ours, theirs = socket.socketpair()
        with theirs:
            worker = cls(receive)
            await worker._loop.create_unix_connection(lambda: worker._link, sock=ours)
            try:
                await worker._loop.subprocess_exec(
                    lambda: worker,
                    *command,
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    env=_environment(),
                )
            except BaseException:
                worker._link.close()
                raise
        return worker

    @property
    def backlog(self) -> int:
        return self._link.backlog

    def send(self, message: ToWorker) -> None:
        self._link.send(message)

    def kill(self) -> None:
        """SIGKILL: works on stopped and deadlocked processes too. Harmless when it is gone.

        Not `transport.kill`: it takes the exit code of a process that has just died, and asyncio tells 255 then.
        """
        if self._transport is None or self._transport.get_returncode() is not None:
            return
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                os.kill(self.pid, signal.SIGKILL)

    def kill_after(self, seconds: float) -> None:
        """Give it that long to end by itself."""
        self._after(seconds, self.kill)

    # What asyncio tells us:

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - stdout and stderr are one
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest[:_LINE]
        for line in lines:
            text = "".join(c if c.isprintable() else " " for c in line[:_LINE].decode(errors="replace")).rstrip()
            if text:
                self.tail.append(text)
                log.debug("worker %d: %s", self.pid, text)

    def process_exited(self) -> None:
        if self._link_open:
            self._after(LINGER, self._link.close)  # what it sent last is still being read
        else:
            self._end()

    def _link_lost(self) -> None:
        self._link_open = False
        if self._transport is None:
            return  # it was never started
        if self._transport.get_returncode() is None:
            self._after(LINGER, self.kill)
        else:
            self._end()

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, act)

    def _end(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._transport is not None and not self.ended.done():
            code = self._transport.get_returncode()
            self._transport.close()
            self.ended.set_result(_describe(code))


def _environment() -> dict[str, str]:
    """The worker's; what the owner says about waiting threads wins."""
    passed = {key: value for key, value in os.environ.items() if not _SECRET.search(key)}
    return passed if "OMP_WAIT_POLICY" in passed else {"GOMP_SPINCOUNT": _SPIN, **passed}


def _describe(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"exited with code {code}"


def resident_memory(pid: int) -> int:
    """Bytes of the process in RAM; 0 when it is gone. From /proc, which needs no psutil (4 MB)."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - on the status path, no Path needed
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
