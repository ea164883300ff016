"""The progress of the first download: a bar on a terminal, a line each tenth elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TextIO

from mongarsd.ground.status import PullProgress

log = logging.getLogger(__name__)

Show = Callable[[PullProgress], None]

WIDTH = 30  # characters of the bar


def describe(progress: PullProgress) -> str:
    """ "downloading, 42 % of 98 MB" """
    if not progress.total or progress.completed is None or progress.status == "success":
        return progress.status
    return f"{progress.status}, {100 * progress.completed // progress.total} % of {progress.total / 1e6:.0f} MB"


class LogProgress:
    """A log line for each new status and each further tenth."""

    def __init__(self) -> None:
        self._last: tuple[str, int] = ("", 0)

    def __call__(self, progress: PullProgress) -> None:
        tenth = 10 * (progress.completed or 0) // progress.total if progress.total else 0
        if (progress.status, tenth) != self._last:
            self._last = (progress.status, tenth)
            log.info("%s", describe(progress))


class BarProgress:
    """One line of a terminal, redrawn when it changes; a new line for each status."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._status = self._drawn = ""

    def __call__(self, progress: PullProgress) -> None:
        line = describe(progress)
        if progress.total and progress.completed is not None:
            full = min(WIDTH, WIDTH * progress.completed // progress.total)
            line = f"[{'#' * full}{'.' * (WIDTH - full)}] {line}"
        if line == self._drawn:
            return
        new_line = "\n" if self._status not in ("", progress.status) else "\r"
        end = "\n" if progress.status == "success" or progress.error else ""
        self._stream.write(f"{new_line}\x1b[K{line}{end}")
        self._stream.flush()
        self._status, self._drawn = progress.status, line


def default_progress() -> Show:
    return BarProgress(sys.stderr) if sys.stderr.isatty() else LogProgress()
