"""Listening sockets: TCP for clients, one Unix socket for mongarsctl."""

from __future__ import annotations

import errno
import grp
import logging
import os
import socket
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from mongarsd.daemon.address import Address, parse
from mongarsd.daemon.holder import holders
from mongarsd.ground.errors import StartError

log = logging.getLogger(__name__)

BACKLOG = 128
OLLAMA_PORT = 11434
CONTROL_MODE = 0o660
PROBE = 1.0  # seconds a living daemon has to accept a connection


def bind_all(addresses: Iterable[str]) -> list[socket.socket]:
    """A bound, not yet listening socket for every address of every name. Raises StartError; then none stays open."""
    sockets: list[socket.socket] = []
    try:
        for text in addresses:
            sockets += _bind(parse(text))
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def bind_ollama(addresses: Iterable[Address], wish: str) -> list[socket.socket]:
    """Ollama's port on each of the hosts. `wish`: "off", "on" (raises StartError), "auto" (those that are free)."""
    sockets: list[socket.socket] = []
    for host in () if wish == "off" else dict.fromkeys(address.host for address in addresses):
        address = Address(host, OLLAMA_PORT)
        if address in addresses:
            continue
        try:
            sockets += _bind(address)
        except StartError as error:
            if wish == "on":
                for sock in sockets:
                    sock.close()
                raise
            log.info("not on Ollama's port: %s", error.message)
    return sockets


def bound_address(sock: socket.socket) -> Address:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        raise StartError("systemd hands over a socket that is not TCP; only ListenStream=[ADDRESS:]PORT can be served")
    host, port = sock.getsockname()[:2]
    return Address(host, port)


def _bind(address: Address) -> list[socket.socket]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartError(f"cannot listen on {address}: {error.strerror}") from error
    sockets: list[socket.socket] = []
    refused: OSError | None = None
    for family, kind, protocol, _, where in found:
        try:
            sockets.append(_bind_one(family, kind, protocol, where))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                for sock in sockets:
                    sock.close()
                raise StartError(_in_use(address)) from error
            refused = error  # localhost names ::1 also where IPv6 is off: one address is enough
    if refused and not sockets:
        raise StartError(f"cannot listen on {address}: {refused.strerror}") from refused
    return sockets


def _bind_one(family: int, kind: int, protocol: int, where: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart does not wait for TIME_WAIT
        if family == socket.AF_INET6:  # so that 0.0.0.0 and [::] may both be named
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        # Listening at once: SO_REUSEADDR lets two bound sockets coexist until the second one listens.
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _in_use(address: Address) -> str:
    found = holders(address.port)
    by = f" by {', '.join(found)}" if found else ""
    return f"port {address.port} on {address.host} is already in use{by}; stop it, or choose another with --listen"


def control_path(setting: str, environ: Mapping[str, str], state: Path) -> Path:
    """Where the control socket is: the setting, else in $RUNTIME_DIRECTORY (systemd), else in the state directory."""
    if setting:
        return Path(setting)
    runtime = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return (Path(runtime) if runtime else state) / "control.sock"


def bind_control(path: Path, group: str) -> socket.socket:
    """A listening Unix socket, 0660. Replaces a file that nobody answers on. Raises StartError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(str(path))  # under umask 077: nobody else can connect before the mode is set
        if group:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        path.chmod(CONTROL_MODE)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except KeyError as error:
        sock.close()
        path.unlink(missing_ok=True)
        raise StartError(f"control.group: there is no group {group!r} on this machine") from error
    except OSError as error:  # also a path over the kernel's 107 bytes
        sock.close()
        raise StartError(
            f"the control socket {path} cannot be made: {error.strerror or error}; set control.socket to another path"
        ) from error
    except StartError:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise StartError(f"{path} is not a socket; move it away, or set control.socket to another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:  # full backlog, no permission, time-out: somebody is there
            pass
    raise StartError(f"another daemon answers on the control socket {path}; stop it, or set control.socket")
