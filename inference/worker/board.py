"""What the rest of the board is doing while this worker computes, from /proc. And the threads that follow it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from typing import Protocol

from msgspec import structs

from mongarsd.inference.engine.threads import LiveThreads
from mongarsd.inference.worker.protocol import Load, Pulse

#: Seconds between two looks. The kernel counts in hundredths: a shorter window would mostly measure rounding.
WINDOW = 0.25
#: Fields of a "cpu" line of /proc/stat that are not somebody's work: idle and iowait. (guest is part of user.)
_IDLE = (3, 4)
_FIELDS = 8


def busy(stat: str, cpus: Collection[int], tick: int) -> float | None:
    """Seconds that these CPUs have been busy since boot, stolen time included; None if the text does not say."""
    names = {f"cpu{number}" for number in cpus}
    total, seen = 0, 0
    for line in stat.splitlines():
        name, _, rest = line.partition(" ")
        if name not in names:
            continue
        try:
            total += sum(int(value) for index, value in enumerate(rest.split()[:_FIELDS]) if index not in _IDLE)
        except ValueError:
            return None
        seen += 1
    return total / tick if seen else None


def cpu_time(stat: str, tick: int) -> float:
    """Seconds of CPU that a process's /proc/PID/stat says it has used; 0 for garbage."""
    fields = stat.rpartition(")")[2].split()  # the name may hold spaces and brackets
    try:
        return (int(fields[11]) + int(fields[12])) / tick
    except (IndexError, ValueError):
        return 0.0


def _read(path: str) -> str:
    try:
        with open(path) as file:  # noqa: PTH123 - several times a second, between two steps
            return file.read()
    except OSError:
        return ""


class Board:
    """`others()`: cores used by everybody but this process and the daemon, since the last call."""

    def __init__(self, read: Callable[[str], str] = _read, own: Callable[[], float] = time.process_time) -> None:
        self._read, self._own = read, own
        self._tick = os.sysconf("SC_CLK_TCK")
        self._daemon = f"/proc/{os.getppid()}/stat"
        self.cpus = os.sched_getaffinity(0)
        self._before = self._foreign()

    def others(self, seconds: float) -> float | None:
        """None when the kernel does not say (some containers)."""
        before, self._before = self._before, self._foreign()
        if before is None or self._before is None:
            return None
        return max(0.0, self._before - before) / max(seconds, 1e-3)

    def _foreign(self) -> float | None:
        total = busy(self._read("/proc/stat"), self.cpus, self._tick)
        return None if total is None else total - self._own() - cpu_time(self._read(self._daemon), self._tick)


class Threaded(Protocol):
    def set_threads(self, decode: int, prefill: int) -> None: ...


class Following:
    """The threads of one backend. `look` between two steps, in the thread that computes."""

    def __init__(self, backend: Threaded, load: Load, now: float, board: Board | None = None) -> None:
        self._backend = backend
        self._board = (board or Board()) if load.live_threads else None
        cores = len(self._board.cpus) if self._board else load.prefill_threads
        self._live = LiveThreads(cores=cores, decode=load.decode_threads, prefill=load.prefill_threads)
        self._looked = now

    def look(self, now: float) -> None:
        seconds = now - self._looked
        if self._board is None or seconds < WINDOW:
            return
        self._looked = now
        others = self._board.others(seconds)
        before = self._live.threads
        if others is not None and (after := self._live.observe(seconds, others))[:2] != before[:2]:
            self._backend.set_threads(after.decode, after.prefill)

    def tell(self, pulse: Pulse) -> Pulse:
        """The pulse, with the threads in use and why."""
        threads = self._live.threads
        return structs.replace(pulse, threads=threads.decode, threads_why=threads.why)
