"""The tiers behind the engine's cells, over the fake backend: it says something else if a restored token is wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.engine import Bench, answer, job
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.inference.cache.disk import scan
from mongarsd.inference.cache.store import PrefixStore
from mongarsd.inference.engine.base import BLOCK
from mongarsd.inference.engine.loop import Engine
from mongarsd.inference.engine.tiers import Tiers
from mongarsd.inference.worker.protocol import CachePlan, CacheStats, TierStats

LONG = "once upon a time there was a very long prompt " * 8  # 368 tokens: 5 blocks


class Tiered(Bench):
    """A Bench with tiers; `settle` is the idle time that a worker would have."""

    def __init__(self, folder: Path, *, slots: int = 2, ram: int = 0, disk: int = 0, daily: int = 1 << 30) -> None:
        super().__init__(slots=slots, context=2048, batch=512)
        plan = CachePlan(directory=str(folder), ram=ram, disk=disk, disk_writes_per_day=daily)
        self.woken = threading.Event()
        self.store = PrefixStore(plan, BLOCK, self.clock, ("model",), self.woken.set)
        self.tiers = Tiers(self.backend, self.scheduler.cells, self.store, slots, 0.25)
        self.engine = Engine(self.backend, self.scheduler, self.clock, "here", self.tiers)

    def settle(self) -> None:
        for _ in range(1000):
            self.woken.clear()
            if not self.engine.idle() and not self.store.save():
                return
            self.woken.wait(0.01)
        raise AssertionError("idle work does not end")

    def ask(self, name: str, text: str = LONG, max_tokens: int = 8) -> int:
        """Runs a job, checks what it says; how many tokens were cached."""
        self.submit(job(name, text, max_tokens=max_tokens))
        for _ in range(5000):
            self.step()
            if self.events[name] and not self.engine.busy and not len(self.scheduler.waiting):
                break
            if not self.engine.busy:
                self.woken.wait(0.01)
        assert self.text(name).encode() == answer(text, max_tokens, 2048)
        assert self.finished(name).usage.cached == self.started(name).cached
        return self.started(name).cached

    def tier(self, name: str) -> TierStats:
        return next(tier for tier in self.engine.pulse().cache.tiers if tier.tier == name)


@pytest.fixture
def others() -> Iterator[str]:
    return (f"{n} {n} something else altogether " * 10 for n in range(100))


def test_what_was_pushed_out_of_the_cells_comes_back_from_ram(tmp_path: Path, others: Iterator[str]) -> None:
    bench = Tiered(tmp_path, ram=1 << 20)
    assert bench.ask("first") == 0
    for n in range(4):
        bench.ask(f"other {n}", next(others))
    assert bench.ask("again") == len(LONG) - 1  # the last token is always computed
    assert (bench.tier("ram").hits, bench.tier("ram").tokens) == (1, len(LONG) - 1)
    assert bench.engine.pulse().cache.misses == 5


def test_a_conversation_goes_on_behind_its_last_answer(tmp_path: Path, others: Iterator[str]) -> None:
    bench = Tiered(tmp_path, ram=1 << 20)
    bench.ask("first")
    for n in range(4):
        bench.ask(f"other {n}", next(others))
    said = LONG + bench.text("first")
    assert bench.ask("second", f"{said} go on") == len(said) - 1  # the last of the answer was never computed
    for n in range(4, 8):
        bench.ask(f"other {n}", next(others))
    parted = said[:-4]
    assert bench.ask("otherwise", f"{parted} or not") == len(parted)


def test_without_ram_the_disk_keeps_whole_blocks_only(tmp_path: Path, others: Iterator[str]) -> None:
    bench = Tiered(tmp_path, disk=1 << 20)
    bench.ask("first")
    bench.settle()
    for n in range(4):
        bench.ask(f"other {n}", next(others))
    assert bench.ask("again") == 5 * BLOCK


def test_a_new_process_reads_it_from_disk(tmp_path: Path) -> None:
    first = Tiered(tmp_path, ram=1 << 20, disk=1 << 20)
    first.ask("first")
    first.settle()
    assert len(list(scan(tmp_path))) == 5
    second = Tiered(tmp_path, ram=1 << 20, disk=1 << 20)
    assert second.ask("again") == 5 * BLOCK
    assert second.tier("disk").hits == 1
    assert second.ask("and again") == len(LONG) - 1  # the cells know more
    assert second.tier("kv").hits == 1


@pytest.mark.parametrize("ram", [0, 1 << 20])
def test_what_is_not_written_yet_is_written_at_the_end(tmp_path: Path, ram: int) -> None:
    bench = Tiered(tmp_path, ram=ram, disk=1 << 20)
    bench.ask("first")
    bench.engine.close()
    assert len(list(scan(tmp_path))) == 5


def test_equal_beginnings_are_stored_once(tmp_path: Path) -> None:
    bench = Tiered(tmp_path, ram=1 << 20, disk=1 << 20)
    bench.ask("one", LONG + "a" * BLOCK)
    bench.ask("two", LONG + "b" * BLOCK)
    bench.settle()
    assert len({found.key for found in scan(tmp_path)}) == 5 + 2


def test_a_damaged_file_is_computed_again(tmp_path: Path) -> None:
    first = Tiered(tmp_path, disk=1 << 20)
    first.ask("first")
    first.settle()
    third = sorted(scan(tmp_path), key=lambda found: found.position)[2].path
    third.write_bytes(third.read_bytes()[:-1] + b"!")
    second = Tiered(tmp_path, disk=1 << 20)
    assert second.ask("again") == 2 * BLOCK
    second.settle()
    assert len(list(scan(tmp_path))) == 5


def test_nothing_is_written_beyond_the_days_budget(tmp_path: Path) -> None:
    bench = Tiered(tmp_path, disk=1 << 20, daily=500)
    bench.ask("first")
    bench.settle()
    assert len(list(scan(tmp_path))) == 2
    assert bench.tier("disk").written <= 500


def test_cleared_means_forgotten_everywhere(tmp_path: Path) -> None:
    bench = Tiered(tmp_path, ram=1 << 20, disk=1 << 20)
    bench.ask("first")
    bench.settle()
    bench.engine.clear_cache()
    bench.settle()
    assert not list(scan(tmp_path))
    assert bench.ask("again") == 0


def test_a_backend_that_cannot_restore_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Tiered(tmp_path, disk=1 << 20)
    first.ask("first")
    first.settle()
    second = Tiered(tmp_path, disk=1 << 20)
    monkeypatch.setattr(second.backend, "restore", lambda *_: False)
    assert second.ask("again") == 0
    monkeypatch.undo()


def test_without_tiers_there_is_nothing_to_tell() -> None:
    bench = Bench()
    bench.run(job("one"))
    assert bench.engine.pulse().cache == CacheStats()
    assert not bench.engine.idle()


@settings(max_examples=25, deadline=None)
@given(
    talks=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12), st.booleans()), min_size=1, max_size=12),
    ram=st.sampled_from([0, 500, 5000]),
    disk=st.sampled_from([0, 3 * 4096, 1 << 20]),
)
def test_whatever_is_stored_the_text_is_right(
    tmp_path_factory: pytest.TempPathFactory, talks: list[tuple[int, int, bool]], ram: int, disk: int
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    bench = Tiered(folder, ram=ram, disk=disk)
    for n, (who, length, restart) in enumerate(talks):
        bench.ask(f"job {n}", f"conversation {who}: " * length * 4, 3)
        if restart:
            bench.engine.close()
            bench = Tiered(folder, ram=ram, disk=disk)
        else:
            bench.settle()
