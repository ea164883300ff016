"""Everything the doctor looks at, gathered once; None and "" mean that it could not be seen."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from mongarsd.client import Client, places
from mongarsd.client.calls.node import Readiness
from mongarsd.client.errors import BadAddress, Forbidden, MongarsError, Unauthorized, Unreachable
from mongarsd.ctl import server
from mongarsd.ctl.exits import Failure
from mongarsd.ground.settings import ServerSettings
from mongarsd.ground.status import NodeStatus

CONFIG = Path("/etc/mongarsd/mongarsd.toml")
PROBE = 3.0  # seconds for a port of this machine to answer


class Port(Struct, frozen=True):
    address: str  # HOST:PORT as configured
    answers: bool  # speaks HTTP
    taken: bool  # somebody listens


class Service(Struct, frozen=True):
    """What `systemctl show` says."""

    active: str  # "active", "inactive", "failed", …
    enabled: str  # "enabled", "disabled", …
    result: str = ""  # "success", or why it failed
    restarts: int = 0


class Disk(Struct, frozen=True):
    path: str
    free: int  # bytes
    writable: bool | None = None  # None = not ours to write


class Facts(Struct, frozen=True, kw_only=True):
    node: NodeStatus | None = None
    readiness: Readiness | None = None  # asked of another machine, which does not show its node
    refusal: str = ""  # why there is no node
    denied: bool = False  # it runs, but we may not ask it
    service: Service | None = None
    settings_code: int | None = None  # exit code of the check
    settings_errors: str = ""
    settings_readable: bool = True
    ports: tuple[Port, ...] = ()
    disk: Disk | None = None
    memory_total: int = 0  # bytes
    memory_available: int = 0
    board: str = ""
    machine: str = ""  # as `uname -m`
    bits: int = 64  # of this Python
    temperature: float | None = None
    now: float = 0.0  # seconds since the epoch
    synchronised: bool | None = None


def gather(client: Client, root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> Facts:
    """Look at the daemon, and at this machine unless the daemon is elsewhere (--url). Never raises MongarsError."""
    node, refusal, denied = None, "", False
    try:
        node = client.status()
    except MongarsError as error:
        refusal, denied = error.message, isinstance(error, (Forbidden, Unauthorized))
    if client.url:
        readiness = None if node else _readiness(client)
        return Facts(node=node, readiness=readiness, refusal=refusal, denied=denied, now=time.time())
    code, errors, listen = _settings()
    total, available = _memory(root)
    return Facts(
        node=node,
        refusal=refusal,
        denied=denied,
        service=_service(root),
        settings_code=code,
        settings_errors=errors,
        settings_readable=not CONFIG.exists() or os.access(CONFIG, os.R_OK),
        ports=tuple(_port(address) for address in (node.listen if node else listen)),
        disk=_disk(Path(node.state_dir) if node else _state_dir(root, environ), ours=node is None),
        memory_total=total,
        memory_available=available,
        board=_board(root),
        machine=platform.machine(),
        bits=struct.calcsize("P") * 8,
        temperature=_temperature(root),
        now=time.time(),
        synchronised=_synchronised(root),
    )


def _readiness(client: Client) -> Readiness | None:
    try:
        return client.ready()
    except MongarsError:
        return None


def _settings() -> tuple[int | None, str, tuple[str, ...]]:
    """Exit code and errors of the check, and server.listen as it is set; the default where that is not known."""
    try:
        result = server.run("--check")
    except Failure as failure:
        return None, failure.message, ServerSettings().listen
    return result.code, server.complaints(result), listen_addresses(result.output) or ServerSettings().listen


def listen_addresses(output: str) -> tuple[str, ...]:
    """server.listen out of the lines `key = value  (origin)` of `mongarsd --check`."""
    line = next((line for line in output.splitlines() if line.startswith("server.listen = ")), "")
    return tuple(re.findall(r"'([^']+:\d+)'", line.rpartition("(")[0]))


def _state_dir(root: Path, environ: Mapping[str, str]) -> Path:
    system = root / "var/lib/mongarsd"
    return system if system.is_dir() else places.state_dir(environ)


def _disk(path: Path, ours: bool) -> Disk | None:
    there = next((folder for folder in (path, *path.parents) if folder.is_dir()), None)
    if there is None:
        return None
    try:
        free = shutil.disk_usage(there).free
    except OSError:  # inside a folder that only the daemon may enter
        return None
    mine = ours and not path.is_relative_to("/var")  # a system directory belongs to the service's own user
    return Disk(str(path), free, os.access(there, os.W_OK | os.X_OK) if mine else None)


def _port(address: str) -> Port:
    host, _, number = address.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 (looked at, not bound)
    if _speaks(f"http://{host}:{number}"):
        return Port(address, answers=True, taken=True)
    try:
        socket.create_connection((host.strip("[]"), int(number)), PROBE).close()
    except (OSError, ValueError):
        return Port(address, answers=False, taken=False)
    return Port(address, answers=False, taken=True)


def _speaks(url: str) -> bool:
    """HTTP, whatever it says."""
    try:
        Client(url, timeout=PROBE, retries=0).alive()
    except (Unreachable, BadAddress):
        return False
    except MongarsError:
        return True
    return True


def _service(root: Path) -> Service | None:
    """None without systemd, or without the service."""
    if not (root / "run/systemd/system").is_dir() or not shutil.which("systemctl") or not places.installed():
        return None
    import subprocess

    asked = "--property=ActiveState,UnitFileState,Result,NRestarts"
    try:
        text = subprocess.run(
            ["systemctl", "show", "mongarsd", asked], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    said = dict(line.partition("=")[::2] for line in text.splitlines())
    return Service(
        said.get("ActiveState", "unknown"),
        said.get("UnitFileState", "unknown"),
        said.get("Result", ""),
        int(said.get("NRestarts") or 0),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""


def _board(root: Path) -> str:
    """Raspberry Pi and Jetson name themselves in the device tree, PCs in DMI."""
    return _text(root / "proc/device-tree/model") or _text(root / "sys/class/dmi/id/product_name")


def _memory(root: Path) -> tuple[int, int]:
    lines = (line.split() for line in _text(root / "proc/meminfo").splitlines())
    kilobytes = {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
    return kilobytes.get("MemTotal:", 0) * 1024, kilobytes.get("MemAvailable:", 0) * 1024


def _temperature(root: Path) -> float | None:
    """°C of the hottest zone."""
    zones = (_text(zone) for zone in (root / "sys/class/thermal").glob("thermal_zone*/temp"))
    return max((int(text) / 1000 for text in zones if text.lstrip("-").isdigit()), default=None)


def _synchronised(root: Path) -> bool | None:
    """systemd-timesyncd leaves a mark; other time services cannot be asked so simply."""
    folder = root / "run/systemd/timesync"
    return (folder / "synchronized").exists() if folder.is_dir() else None
