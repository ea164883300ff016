"""The prefix cache through the real daemon and its worker, over the fake backend."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.daemon_process import MODEL, SLOW, DaemonProcess, running

from mongarsd.daemon.cache import CacheBudgets
from mongarsd.ground.settings import CacheSettings
from mongarsd.inference.cache.disk import scan
from mongarsd.inference.pool.plan import WorkerPlan

LONG = "It was a dark and stormy night, and the captain told us a story. " * 10


def ask(daemon: DaemonProcess, content: str = LONG) -> tuple[str, int]:
    """(the answer, cached tokens)."""
    connection = daemon.connect()
    body = {"model": MODEL, "prompt": content, "max_tokens": 5, "temperature": 0}
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    return answer["choices"][0]["text"], answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_whole_answers_are_told_again_and_forgotten_on_demand() -> None:
    with running(env={"MONGARSD_CACHE_ANSWERS": "1MiB"}) as daemon:
        first = ask(daemon)
        assert ask(daemon) == first
        assert "mongarsd_answer_cache_hits_total 1.0" in daemon.text("/metrics")
        assert daemon.admin("/admin/cache")["answers"]["hits"] == 1
        assert daemon.admin("/admin/cache", "DELETE")["answers"]["bytes"] == 0
        ask(daemon)
        assert "mongarsd_answer_cache_hits_total 1.0" in daemon.text("/metrics")


def until(condition: Callable[[], Any]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, "it did not come true"
        time.sleep(0.05)


def files(daemon: DaemonProcess) -> int:
    return len(list(scan(daemon.state / "cache" / "prefix")))


def tiers(daemon: DaemonProcess) -> dict[str, dict[str, Any]]:
    return {tier["name"]: tier for tier in daemon.admin("/admin/cache")["tiers"]}


@pytest.mark.slow
def test_it_survives_unload_and_restart_until_it_is_cleared() -> None:
    with running() as daemon:
        said, cached = ask(daemon)
        assert cached == 0
        blocks = len(LONG) // 64
        until(lambda: files(daemon) == blocks)
        daemon.admin(f"/admin/models/{MODEL}/unload", "POST")
        assert ask(daemon) == (said, blocks * 64)
        until(lambda: tiers(daemon)["disk"]["hits"] == 1)
        assert tiers(daemon)["disk"]["tokens"] == blocks * 64
        assert 'mongarsd_prefix_cache_hits_total{tier="disk"} 1' in daemon.text("/metrics")

        daemon.signal(signal.SIGTERM)
        daemon.wait()
        again = DaemonProcess(daemon.folder, state=SLOW)
        try:
            assert ask(again) == (said, blocks * 64)
            assert again.admin("/admin/cache", "DELETE")["tiers"][2]["bytes"] == 0
            assert ask(again) == (said, 0)
        finally:
            again.close()


def test_off_is_off() -> None:
    with running(env={"MONGARSD_CACHE_RAM": "0", "MONGARSD_CACHE_DISK": "0"}) as daemon:
        said, _ = ask(daemon)
        daemon.admin(f"/admin/models/{MODEL}/unload", "POST")
        assert ask(daemon) == (said, 0)
        assert not (daemon.state / "cache" / "prefix").exists()


PLAN = WorkerPlan(slots=1, context=512, decode_threads=1, prefill_threads=1, memory=800)


@pytest.mark.parametrize(
    ("settings", "ram"), [(CacheSettings(), 100), (CacheSettings(ram=0), 0), (CacheSettings(ram=10_000), 200)]
)
def test_ram_is_what_the_model_leaves(tmp_path: Path, settings: CacheSettings, ram: int) -> None:
    budgets = CacheBudgets(settings, 1000, tmp_path)
    given = budgets.give(PLAN)
    assert (given.cache.ram, given.memory) == (ram, 800 + ram)
    assert {reason.name for reason in budgets.reasons} == {"cache_ram", "cache_disk"}
    assert all(reason.value.endswith("B") for reason in budgets.reasons)


def test_without_writes_there_is_no_disk_tier(tmp_path: Path) -> None:
    assert CacheBudgets(CacheSettings(disk_writes_per_day=0), 1000, tmp_path).give(PLAN).cache.disk == 0
    assert CacheBudgets(CacheSettings(disk=7), 1000, tmp_path).give(PLAN).cache.disk == 7
