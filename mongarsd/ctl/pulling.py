"""The progress of a pull: a bar for a person, a line for each tenth otherwise."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import closing

from mongarsd.ctl.exits import Exit, Failure
from mongarsd.ctl.terminal import clean
from mongarsd.ctl.units import size
from mongarsd.ground.status import PullProgress


def follow(name: str, progress: Generator[PullProgress, None, None]) -> None:
    """Show `progress` on standard error until it succeeds; closing it is what stops the pull. Raises Failure."""
    show = _bar if sys.stderr.isatty() else _plain
    last: PullProgress | None = None
    with closing(progress) as lines:
        for last in show(name, lines):
            if last.error:
                raise Failure(f"{name} could not be pulled: {clean(last.error)}")
    if last is None or last.status != "success":
        raise Failure(
            f"the daemon went away before {name} was complete; the same command goes on from there", Exit.UNREACHABLE
        )
    print(f"{name} is ready.")


def _plain(name: str, lines: Iterator[PullProgress]) -> Iterator[PullProgress]:
    """A line when the status changes, and one for each tenth of the bytes."""
    shown: tuple[str, int] | None = None
    for line in lines:
        tenth = 10 * (line.completed or 0) // line.total if line.total else 0
        if line.status != "success" and not line.error and (line.status, tenth) != shown:
            shown = (line.status, tenth)
            amount = f": {size(line.completed or 0)} of {size(line.total)}" if line.total else ""
            print(f"{name}: {clean(line.status)}{amount}", file=sys.stderr, flush=True)
        yield line


def _bar(name: str, lines: Iterator[PullProgress]) -> Iterator[PullProgress]:
    from rich.console import Console  # 60 to 100 ms
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bars:
        task, status = bars.add_task(name, total=None), ""
        for line in lines:
            if line.status != status:  # the next stage: its speed has nothing to do with the last one's
                bars.remove_task(task)
                status = line.status
                task = bars.add_task(clean(status), total=line.total)
            bars.update(task, total=line.total, completed=line.completed or 0)
            yield line
