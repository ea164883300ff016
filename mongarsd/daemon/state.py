"""The state directory: found, made private, locked."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

from mongarsd.ground.errors import StartError

UMASK = 0o077  # every file the daemon writes is its own business


def state_path(flag: Path | None, environ: Mapping[str, str]) -> Path:
    """`--state-dir`, else $STATE_DIRECTORY (systemd), else $XDG_STATE_HOME/mongarsd, else ~/.local/state/mongarsd.

    Raises StartError.
    """
    if flag:
        return flag.absolute()
    if directory := environ.get("STATE_DIRECTORY", "").partition(":")[0]:  # systemd joins several with ":"
        return Path(directory)
    xdg = environ.get("XDG_STATE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    if xdg.startswith("/"):
        return Path(xdg) / "mongarsd"
    try:
        return Path.home() / ".local" / "state" / "mongarsd"
    except RuntimeError as error:
        raise StartError("this user has no home directory; name a state directory with --state-dir") from error


class StateDirectory:
    """Made 0700 and locked while open: two daemons never share one. Raises StartError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.umask(UMASK)
        # Names inside go to SQLite, to llama.cpp and into JSON, and all of them want UTF-8.
        if os.fsencode(path) != str(path).encode("utf-8", "replace"):
            raise StartError(
                f"the name of the state directory {str(path)!a} is not UTF-8: name another with --state-dir, or "
                "start with LC_ALL=C.UTF-8 or PYTHONUTF8=1 if it only looks so in this locale"
            )
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(
                f"the state directory {path} cannot be written: {error.strerror}; name another with --state-dir"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip()
            os.close(self._lock)
            raise StartError(
                f"another mongarsd{f' (process {holder})' if holder else ''} uses the state directory {path}; "
                "stop it, or name another directory with --state-dir"
            ) from error
        with contextlib.suppress(OSError):  # on a full disk the lock holds without a name, and the models still serve
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Idempotent. The file stays: removing it would let a third daemon lock another inode."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
