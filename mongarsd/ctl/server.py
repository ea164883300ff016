"""The program `mongarsd` as a child process: what only the daemon knows, without importing it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from mongarsd.ctl.exits import Exit, Failure

TIMEOUT = 30.0  # seconds; a Pi Zero 2 with a cold SD card starts Python in 3


class Result(NamedTuple):
    code: int
    output: str
    errors: str


def complaints(result: Result) -> str:
    """What it wrote about its errors, a line each, without its own name before them."""
    return "\n".join(line.removeprefix("mongarsd: ").rstrip() for line in result.errors.splitlines() if line.strip())


def program() -> str | None:
    """The `mongarsd` of this installation, else the first in $PATH."""
    beside = Path(sys.executable).with_name("mongarsd")
    return str(beside) if beside.exists() else shutil.which("mongarsd")


def run(*arguments: str) -> Result:
    """Raises Failure when there is no such program, or when it does not end."""
    import subprocess

    command = program()
    if not command:
        raise Failure("the program mongarsd is not installed here", Exit.NOT_FOUND)
    # The daemon takes every MONGARSD_* for a setting, and the key is not its business.
    environ = {name: value for name, value in os.environ.items() if name not in ("MONGARSD_API_KEY", "MONGARSD_SOCKET")}
    try:
        done = subprocess.run(
            [command, *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"{command} could not be asked: {error}") from error
    return Result(done.returncode, done.stdout, done.stderr)
