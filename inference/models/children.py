"""Child processes that end with the work they were started for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

KEPT = 64 * 1024  # bytes of output


class Ended(NamedTuple):
    code: int  # negative: the signal that ended it
    output: str  # the end of its standard error and output


async def run_child(
    command: Sequence[str], *, env: dict[str, str], cwd: Path, watch: Callable[[], None], every: float
) -> Ended:
    """Run a command to its end, call `watch` every so many seconds; if cancelled, kill it with all its children.

    The child's standard input is a pipe that ends when this process does, however it dies.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=cwd,
        env=env,
        start_new_session=True,
    )
    assert process.stdout is not None
    reader = asyncio.ensure_future(_tail(process.stdout))
    try:
        while not (await asyncio.wait([reader], timeout=every))[0]:
            watch()
        code = await process.wait()
        return Ended(code, reader.result().decode(errors="replace"))
    finally:
        with contextlib.suppress(ProcessLookupError):
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
        if process.stdin is not None:
            process.stdin.close()
        await asyncio.gather(reader, process.wait(), return_exceptions=True)


async def _tail(stream: asyncio.StreamReader) -> bytes:
    kept = b""
    while data := await stream.read(KEPT):
        kept = (kept + data)[-KEPT:]
    return kept
