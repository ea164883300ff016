"""Where the daemon's control socket may be, and how a person starts the daemon here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

NAME = "control.sock"
SYSTEM = Path("/run/mongarsd")
UNITS = tuple(Path(folder, "mongarsd.service") for folder in ("/etc/systemd/system", "/lib/systemd/system"))
#: The state directory of `make run`, beside the virtual environment that this program runs in (Makefile: STATE).
CHECKOUT = Path(sys.prefix).parent / ".cache" / "state"
#: sockaddr_un.sun_path of Linux holds 108 bytes with the closing zero.
LONGEST_PATH = 107


def state_home(environ: Mapping[str, str]) -> Path:
    """$XDG_STATE_HOME if it is absolute (the XDG specification: a relative path is to be ignored)."""
    named = environ.get("XDG_STATE_HOME", "")
    return Path(named) if named.startswith("/") else Path(environ.get("HOME") or Path.home(), ".local", "state")


def state_dir(environ: Mapping[str, str]) -> Path:
    """The state directory of a daemon that a person started."""
    return state_home(environ) / "mongarsd"


def control_sockets(named: Path | None, environ: Mapping[str, str]) -> list[Path]:
    """The paths to try, best first. A named directory means the socket in it."""
    if named:
        return [named / NAME if _is_folder(named) else named]
    folders = [Path(environ["RUNTIME_DIRECTORY"].partition(":")[0])] if environ.get("RUNTIME_DIRECTORY") else []
    folders += [CHECKOUT] if _there(CHECKOUT / NAME) else []
    return [folder / NAME for folder in (*folders, SYSTEM, state_dir(environ))]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # in a folder that is closed to us: the connection will say so
        return False


def _there(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


def installed() -> bool:
    """Is there a systemd service?"""
    return any(unit.exists() for unit in UNITS)


def how_to_start() -> str:
    if _there(CHECKOUT):
        return "`make run`"
    return "`sudo systemctl start mongarsd`" if installed() else "`mongarsd`"
