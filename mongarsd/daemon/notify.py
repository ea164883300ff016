"""sd_notify(3) and systemd's socket activation, without libsystemd."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import time
from collections.abc import MutableMapping

log = logging.getLogger(__name__)

FIRST_FD = 3  # sd_listen_fds(3)
#: Seconds that systemd may take to read what is waiting (the kernel holds 10 messages) before one that it must not miss
#: is given up: without READY=1 it kills the service after a minute and a half.
PATIENCE = 5.0


class Notifier:
    """Tells systemd what the daemon does; does nothing outside systemd.

    Takes its variables out of the environment, so that no child process speaks in the daemon's name.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        ours = environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        #: Seconds between two signs of life (half of what systemd allows, as its manual asks); None = not wanted.
        self.interval = int(microseconds) / 2e6 if ours and microseconds.isdigit() and int(microseconds) else None
        self._socket: socket.socket | None = None
        if address[:1] in ("/", "@"):  # "@" is a name in the abstract namespace
            self._address = "\0" + address[1:] if address[0] == "@" else address
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            # Not `settimeout`: unconnected it always counts as writable, so Python would try again without a pause.
            patience = struct.pack("@ll", *divmod(int(PATIENCE * 1e6), 1_000_000))  # struct timeval
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)

    def ready(self) -> None:
        self._send("READY=1")

    def status(self, text: str) -> None:
        self._send("STATUS=" + text.replace("\n", " "), socket.MSG_DONTWAIT)

    def reloading(self) -> None:
        """`ready()` must follow."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    async def watchdog(self) -> None:
        """Runs in the event loop, so the signs of life stop when the loop does."""
        if self.interval is None:
            return
        while True:
            self._send("WATCHDOG=1", socket.MSG_DONTWAIT)
            await asyncio.sleep(self.interval)

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None

    def _send(self, message: str, flags: int = 0) -> None:
        if not self._socket:
            return
        try:
            self._socket.sendto(message.encode(), flags, self._address)
        except OSError as error:
            log.debug("systemd was not told %r: %s", message, error)


def inherited_sockets(environ: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """The listening sockets a .socket unit hands over (LISTEN_FDS); they take the place of `server.listen`."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    sockets = [socket.socket(fileno=fd) for fd in range(FIRST_FD, FIRST_FD + int(count))]
    for sock in sockets:
        sock.set_inheritable(False)
        sock.setblocking(False)
    return sockets
