from __future__ import annotations

import subprocess
import sys
import time

from fakes.engine import Bench, load
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from mongarsd.inference.engine.fake import FakeBackend
from mongarsd.inference.worker.board import Board, Following, busy, cpu_time

STAT = """cpu  100 0 100 999 9 0 0 0 0 0
cpu0 50 1 40 500 5 2 3 4 7 7
cpu1 50 0 60 499 4 0 0 0 0 0
intr 1 2 3
"""


def test_busy_is_all_but_idle_of_the_cpus_that_count() -> None:
    assert busy(STAT, {0}, 100) == 1.0
    assert busy(STAT, {0, 1}, 100) == 2.1
    assert busy(STAT, {7}, 100) is None
    assert busy("", {0}, 100) is None
    assert busy("cpu0 x y z", {0}, 100) is None


def test_the_name_of_a_process_may_hold_anything() -> None:
    assert cpu_time("7 (a) b (c)) S 1 1 1 0 -1 4 0 0 0 0 150 50 0 0 20", 100) == 2.0
    assert cpu_time("", 100) == 0.0


@given(st.text(), st.text())
def test_garbage_is_no_error(stat: str, process: str) -> None:
    busy(stat, {0}, 100)
    cpu_time(process, 100)


class Clockwork:
    """A board of two CPUs; `work` is what others do, in seconds."""

    def __init__(self) -> None:
        self.others = self.ours = self.daemon = 0.0

    def read(self, path: str) -> str:
        if path == "/proc/stat":
            total = round(100 * (self.others + self.ours + self.daemon))
            return "".join(f"cpu{i} {total if i == 0 else 0} 0 0 0 0 0 0 0\n" for i in Board().cpus | {0})
        return f"7 (mongarsd) S 1 1 1 0 -1 4 0 0 0 0 {round(100 * self.daemon)} 0 0"

    def board(self) -> Board:
        board = Board(self.read, lambda: self.ours)
        board.cpus = {0, 1}
        return board


class Recorder(FakeBackend):
    def set_threads(self, decode: int, prefill: int) -> None:
        self.threads = (decode, prefill)


def test_our_own_work_and_the_daemons_are_no_load() -> None:
    work = Clockwork()
    board = work.board()
    work.ours, work.daemon, work.others = 4.0, 1.0, 0.5
    assert round(board.others(0.5) or 0, 6) == 1.0
    assert board.others(0.5) == 0.0


def test_the_backend_follows_the_load_and_the_pulse_tells() -> None:
    work, backend = Clockwork(), Recorder(load())
    plan = structs.replace(load(), decode_threads=2, prefill_threads=2)
    following = Following(backend, plan, 0.0, work.board())
    pulse = following.tell(Bench().engine.pulse())
    assert (pulse.threads, pulse.threads_why) == (2, "")
    for step in range(1, 200):  # steps of 10 ms; another process keeps one core
        work.others += 0.01
        work.ours += 0.01
        following.look(step * 0.01)
    assert backend.threads == (1, 1)
    pulse = following.tell(pulse)
    assert pulse.threads == 1
    assert "other programs" in pulse.threads_why


def test_threads_stay_when_told_so_or_when_the_kernel_is_silent() -> None:
    for live in (False, True):
        backend = Recorder(load())
        backend.threads = (2, 2)
        plan = structs.replace(load(), decode_threads=2, prefill_threads=2, live_threads=live)
        following = Following(backend, plan, 0.0, Board(lambda path: "", lambda: 0.0))
        for second in range(20):
            following.look(float(second))
        assert backend.threads == (2, 2)


def test_a_real_busy_process_is_seen() -> None:
    busy_loop = "import time\nend = time.monotonic() + 30\nwhile time.monotonic() < end: pass"
    other = subprocess.Popen([sys.executable, "-c", busy_loop])
    try:
        board, begin = Board(), time.monotonic()
        for _ in range(80):  # on a crowded machine it may have to wait for its turn
            time.sleep(0.25)
            now = time.monotonic()
            seen = board.others(now - begin)
            begin = now
            if seen is not None and seen > 0.5:
                return
        raise AssertionError("a busy process was not seen for 20 s")
    finally:
        other.kill()
        other.wait()
