"""The progress of a pull: a bar for a person, a line for each tenth otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from mongarsd.client import Stream
from mongarsd.client.errors import BrokenOff
from mongarsd.ctl.exits import Exit, Failure
from mongarsd.ctl.terminal import clean, width
from mongarsd.ctl.units import size, span
from mongarsd.ground.status import PullProgress

REDRAW = 0.1  # seconds between two pictures of the bar; a download reports far more often
LONGEST_BAR = 12  # columns: leaves room for the numbers in 80, so that it does not change its length


def follow(name: str, progress: Stream[PullProgress]) -> None:
    """Show `progress` on standard error until it succeeds; closing it is what stops the pull. Raises Failure."""
    shown = Bar() if sys.stderr.isatty() else Plain(name)
    try:
        with progress as steps:
            for step in steps:
                if step.error:
                    raise Failure(f"{name} could not be pulled: {clean(step.error)}")
                if step.status != "success":
                    shown.show(step)
    except BrokenOff as error:
        raise Failure(
            f"the daemon went away before {name} was complete; the same command goes on from there", Exit.UNREACHABLE
        ) from error
    finally:
        shown.close()
    print(f"{name} is ready.")


class Plain:
    """A line when the status changes, and one for each tenth of the bytes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._shown: tuple[str, int] | None = None

    def show(self, line: PullProgress) -> None:
        done = line.completed or 0
        tenth = 10 * done // line.total if line.total else 0
        if (line.status, tenth) == self._shown:
            return
        self._shown = (line.status, tenth)
        amount = f": {size(done)} of {size(line.total)}" if line.total else ""
        print(f"{self._name}: {clean(line.status)}{amount}", file=sys.stderr, flush=True)

    def close(self) -> None:
        pass


class Bar:
    """One line, drawn over and over. Speed and time left are those of the status that is shown."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._status = ""
        self._begin = (0.0, 0)  # when this status began, and at how many bytes
        self._drawn = 0.0

    def show(self, line: PullProgress) -> None:
        now = self._clock()
        done = line.completed or 0
        if line.status != self._status:
            self._status, self._begin = line.status, (now, done)
        elif now - self._drawn < REDRAW and done != line.total:
            return
        self._drawn = now
        print(f"\r\x1b[K{self._picture(line, done, now)}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave an empty line."""
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _picture(self, line: PullProgress, done: int, now: float) -> str:
        columns = width() - 1  # a full line would wrap, and could not be drawn over
        status = clean(line.status)
        if not line.total:
            return f"{status} …"[:columns]
        since, first = self._begin
        speed = (done - first) / (now - since) if now > since else 0.0
        rest = f" {100 * done // line.total:3} %, {size(done)} of {size(line.total)}"
        if speed > 0 and done < line.total:
            rest += f", {size(speed)}/s, {span((line.total - done) / speed)} left"
        room = min(LONGEST_BAR, columns - len(status) - len(rest) - 4)
        bar = f" [{('#' * (room * done // line.total)).ljust(room, '.')}]" if room > 4 else ""
        return f"{status}{bar}{rest}"[:columns]
