from __future__ import annotations

import json
from collections.abc import Callable

from fakes.control_daemon import FakeDaemon

from mongarsd.ground.status import AnswerCache, CacheStatus, CacheTier

Run = Callable[..., tuple[int, str, str]]
STATUS = CacheStatus(
    directory="/var/lib/mongarsd/cache/prefix",
    tiers=(
        CacheTier(name="kv", bytes=28_000_000, hits=4, tokens=2048),
        CacheTier(name="ram"),
        CacheTier(name="disk", bytes=34_000_000, budget=2_000_000_000, hits=1, tokens=1472, evictions=2),
    ),
    misses=3,
    written_today=34_000_000,
    writes_per_day=4_000_000_000,
    answers=AnswerCache(answers=7, bytes=90_000, budget=8_388_608, ttl=3600.0, hits=12, misses=8, evictions=1),
)


def test_status(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers["GET /admin/cache"] = (200, STATUS)
    code, out, _ = run("cache", "status")
    assert code == 0
    disk = next(line for line in out.splitlines() if line.startswith("disk"))
    assert disk.split() == ["disk", "34.0", "MB", "2", "GB", "1", "1472", "2"]
    assert "off" in out
    assert "7, 90.0 kB of 8.4 MB" in out
    assert "12; computed 8, forgotten 1" in out
    assert json.loads(run("cache", "status", "--json")[1])["misses"] == 3


def test_clear(daemon: FakeDaemon, run: Run) -> None:
    daemon.answers["DELETE /admin/cache"] = (200, STATUS)
    assert run("cache", "clear") == (0, "The caches of prompts and answers are empty.\n", "")
    assert daemon.requests[-1].method == "DELETE"
