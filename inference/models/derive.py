"""Requantisation, seen from the daemon: a child process turns one file into another, which is then checked."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mongarsd.ground.errors import DiskFull, InvalidModel
from mongarsd.ground.status import PullProgress
from mongarsd.inference.models.children import run_child
from mongarsd.inference.models.disk import Disk
from mongarsd.inference.models.gguf import GgufHeader, read_header
from mongarsd.inference.models.partial import Report
from mongarsd.inference.models.threads import in_thread

COMMAND = (sys.executable, "-P", "-m", "mongarsd.inference.models.requantize")
POLL = 0.5  # seconds
#: A failure with less than this left is taken to be the disk's fault: llama.cpp says only "basic_ios::clear".
TIGHT = 16 * 1024 * 1024  # bytes


async def requantize(source: Path, target: Path, kind: str, disk: Disk, report: Report) -> GgufHeader:
    """Write `target`, in the type `kind`; its header. The caller removes it after an error.

    Raises DiskFull, InvalidModel.
    """
    before = await in_thread(read_header, source)
    disk.require(before.tensor_bytes, target.parent)
    status = f"requantizing to {kind}"

    def watch() -> None:
        done = target.stat().st_size if target.exists() else 0
        # The result is never larger than what it is made of, so the bar ends a little early.
        report(PullProgress(status=status, completed=min(done, before.tensor_bytes), total=before.tensor_bytes))

    watch()
    ended = await run_child(
        [*COMMAND, str(source), str(target), kind], env=dict(os.environ), cwd=target.parent, watch=watch, every=POLL
    )
    if ended.code:
        raise _explain(kind, ended.code, ended.output, disk, target)
    after = await in_thread(read_header, target)
    if _shape(after) != _shape(before) or after.quantization != kind:
        raise InvalidModel(f"Requantizing to {kind} gave a different model ({after.quantization}): please report it.")
    return after


def _shape(header: GgufHeader) -> tuple[str, int, int, int]:
    return header.architecture, header.parameters, header.block_count, header.vocabulary


def _explain(kind: str, code: int, output: str, disk: Disk, target: Path) -> Exception:
    have = disk.free(target.parent)
    if have < TIGHT:
        return DiskFull(f"The disk of {target.parent} became full while requantizing: free some space.", have=have)
    lines = [line for line in output.splitlines() if line.strip()]
    reason = "".join(char for char in (lines or ["it said nothing"])[-1] if char.isprintable())[:300]
    ending = f"signal {-code}" if code < 0 else f"exit code {code}"
    return InvalidModel(f"The file could not be requantized to {kind} ({ending}): {reason}")
