"""Blocks on their way to the disk, and the day's budget for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mongarsd.ground.clock import FakeClock
from mongarsd.inference.cache import store as module
from mongarsd.inference.cache.store import PrefixStore
from mongarsd.inference.cache.writes import DAY, DailyWrites, written_today
from mongarsd.inference.worker.protocol import CachePlan


def test_of_what_waits_for_the_disk_alone_the_beginnings_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The later blocks of a chain are of no use without the first."""
    monkeypatch.setattr(module, "LOOSE", 300)
    plan = CachePlan(directory=str(tmp_path), ram=0, disk=1 << 20, disk_writes_per_day=1 << 20)
    store = PrefixStore(plan, 4, FakeClock(), ("model",), lambda: None)
    chain = store.keys(list(range(20)))
    store.keep(chain, 0, [b"x" * 100] * 5)
    store.close(30.0)
    again = PrefixStore(plan, 4, FakeClock(), ("model",), lambda: None)
    assert again.longest(chain) == 3
    again.close(0.0)


def test_workers_share_the_budget_of_a_day(tmp_path: Path) -> None:
    one, other = (DailyWrites(tmp_path / "written", 1000) for _ in range(2))
    assert one.left(DAY) == other.left(DAY) == 1000
    one.add(300, DAY)
    other.add(200, DAY)
    one.add(100, DAY)
    assert written_today(tmp_path / "written", DAY) == 600
    assert one.left(DAY) == 400
    assert one.left(2 * DAY) == 1000
    assert written_today(tmp_path / "written", 2 * DAY) == 0
