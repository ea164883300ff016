"""Which process has a TCP port, from /proc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
LISTEN = "0A"  # include/net/tcp_states.h


def holders(port: int) -> list[str]:
    """ "name (process 123)" of each; empty when it belongs to another user and we are not root."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    return sorted({_name(process) for process in PROC.glob("[0-9]*") if _has(process, sockets)}) if sockets else []


def _inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in (line.split() for line in lines):
            if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _has(process: Path, sockets: set[str]) -> bool:
    try:
        return any(_link(fd) in sockets for fd in (process / "fd").iterdir())
    except OSError:  # it ended meanwhile, or is not ours to see
        return False


def _link(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except OSError:  # closed meanwhile
        return ""


def _name(process: Path) -> str:
    try:
        name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        name = "a program that has just ended"
    return f"{name} (process {process.name})"
