"""The tiers behind the engine's cells, over the fake backend: it says something else if a restored token is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.engine import Bench, answer, job
from fakes.tiers import Tiered
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.inference.cache.disk import scan
from mongarsd.inference.engine.base import BLOCK
from mongarsd.inference.worker.protocol import CacheStats

LONG = "once upon a time there was a very long prompt " * 8  # 368 tokens: 5 blocks


@pytest.fixture
def others() -> Iterator[str]:
    return (f"{n} {n} something else altogether " * 10 for n in range(100))


def test_what_was_pushed_out_of_the_cells_comes_back_from_ram(tmp_path: Path, others: Iterator[str]) -> None:
    bench = Tiered(tmp_path, ram=1 << 20)
    assert bench.ask("first", LONG) == 0
    for n in range(4):
        bench.ask(f"other {n}", next(others))
    assert bench.ask("again", LONG) == len(LONG) - 1  # the last token is always computed
    assert (bench.tier("ram").hits, bench.tier("ram").tokens) == (1, len(LONG) - 1)
    assert bench.engine.pulse().cache.misses == 5


def test_a_conversation_goes_on_behind_its_last_answer(tmp_path: Path, others: Iterator[str]) -> None:
    bench = Tiered(tmp_path, ram=1 << 20)
    bench.ask("first", LONG)
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
    bench.ask("first", LONG)
    bench.settle()
    for n in range(4):
        bench.ask(f"other {n}", next(others))
    assert bench.ask("again", LONG) == 5 * BLOCK


def test_a_new_process_reads_it_from_disk(tmp_path: Path) -> None:
    first = Tiered(tmp_path, ram=1 << 20, disk=1 << 20)
    first.ask("first", LONG)
    first.settle()
    assert len(list(scan(tmp_path))) == 5
    second = Tiered(tmp_path, ram=1 << 20, disk=1 << 20)
    assert second.ask("again", LONG) == 5 * BLOCK
    assert second.tier("disk").hits == 1
    assert second.ask("and again", LONG) == len(LONG) - 1  # the cells know more
    assert second.tier("kv").hits == 1


@pytest.mark.parametrize("ram", [0, 1 << 20])
def test_what_is_not_written_yet_is_written_at_the_end(tmp_path: Path, ram: int) -> None:
    bench = Tiered(tmp_path, ram=ram, disk=1 << 20)
    bench.ask("first", LONG)
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
    first.ask("first", LONG)
    first.settle()
    third = sorted(scan(tmp_path), key=lambda found: found.position)[2].path
    third.write_bytes(third.read_bytes()[:-1] + b"!")
    second = Tiered(tmp_path, disk=1 << 20)
    assert second.ask("again", LONG) == 2 * BLOCK
    second.settle()
    assert len(list(scan(tmp_path))) == 5


def test_nothing_is_written_beyond_the_days_budget(tmp_path: Path) -> None:
    bench = Tiered(tmp_path, disk=1 << 20, daily=500)
    bench.ask("first", LONG)
    bench.settle()
    assert len(list(scan(tmp_path))) == 2
    assert bench.tier("disk").written <= 500


def test_cleared_means_forgotten_everywhere(tmp_path: Path) -> None:
    bench = Tiered(tmp_path, ram=1 << 20, disk=1 << 20)
    bench.ask("first", LONG)
    bench.settle()
    bench.engine.clear_cache()
    bench.settle()
    assert not list(scan(tmp_path))
    assert bench.ask("again", LONG) == 0


def test_a_backend_that_cannot_restore_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Tiered(tmp_path, disk=1 << 20)
    first.ask("first", LONG)
    first.settle()
    second = Tiered(tmp_path, disk=1 << 20)
    monkeypatch.setattr(second.backend, "restore", lambda *_: False)
    assert second.ask("again", LONG) == 0
    monkeypatch.undo()


def test_what_could_not_be_restored_is_copied_by_nobody(
    tmp_path: Path, others: Iterator[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Tiered(tmp_path, ram=1 << 20)
    bench.ask("first", LONG)
    for n in range(2):
        bench.ask(f"other {n}", next(others))
    monkeypatch.setattr(bench.backend, "restore", lambda *_: False)
    monkeypatch.setattr(bench.scheduler.pacer, "chunk", lambda *_: BLOCK)
    texts = {name: LONG[:330] + name for name in ("one", "two")}  # they part too soon for "two" to wait for "one"
    bench.submit(job("one", texts["one"], max_tokens=8))
    bench.step()
    assert bench.scheduler.running["one"].pending > 200
    bench.ask("two", texts["two"])
    assert bench.text("one").encode() == answer(texts["one"], 8, 2048)
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
