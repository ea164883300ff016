"""The guard with fakes around it, and in the real process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from fakes.daemon_process import MODEL, running
from msgspec import structs

from mongarsd.daemon.guard import MemoryGuard
from mongarsd.daemon.limits import Limits
from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import Conflict
from mongarsd.ground.metrics import Metrics
from mongarsd.inference.pool.plan import WorkerPlan
from mongarsd.inference.pool.status import WorkerStatus
from mongarsd.tuning.estimate import DEFAULT_MODEL, estimate_memory
from mongarsd.tuning.guard import CALM, Guard
from mongarsd.tuning.pressure import Pressure

MB = 1_000_000
SHORT, CALM_BOARD = Pressure(available=20 * MB), Pressure(available=900 * MB)


def worker(name: str, slots: int, idle_for: float) -> WorkerStatus:
    return WorkerStatus(
        name=name,
        digest=name,
        state="ready",
        error="",
        pid=1,
        memory=0,
        context=512,
        slots=slots,
        busy_slots=0,
        queued=0,
        prefill_rate=0.0,
        decode_rate=0.0,
        cached_tokens=0,
        threads=1,
        threads_why="",
        reduced="",
        restarts=0,
        idle_for=idle_for,
        expires_in=None,
        keep_alive=300.0,
    )


class Pool:
    """Two idle models and some caches; does what it is told."""

    def __init__(self, limits: Limits) -> None:
        self.caches = 5 * MB
        self.limits = limits
        self.workers = {"old": worker("old", 2, 100.0), "new": worker("new", 1, 5.0)}
        self.told: list[str] = []

    def idle(self) -> list[WorkerStatus]:
        return list(self.workers.values())

    def shrink(self, need: int) -> None:
        self.told.append("shrink")
        self.caches = max(0, self.caches - need)

    async def reload(self, digest: str, why: str) -> bool:
        plan = WorkerPlan(slots=2, context=512, decode_threads=1, prefill_threads=1, memory=1000 * MB)
        slots = self.limits.apply(digest, plan).slots
        self.told.append(f"{digest} {slots}")
        self.workers[digest] = structs.replace(self.workers[digest], slots=slots)
        return True

    async def unload(self, name: str) -> bool:
        self.told.append(f"unload {name}")
        del self.workers[name]
        return True


class Scene:
    def __init__(self) -> None:
        self.pressure = CALM_BOARD
        self.clock = FakeClock()
        limits = Limits(lambda digest: DEFAULT_MODEL)
        self.pool = Pool(limits)
        self.guard = MemoryGuard(
            guard=Guard(100 * MB),
            read=lambda: self.pressure,
            pool=self.pool,
            limits=limits,
            clock=self.clock,
            metrics=Metrics(),
        )

    async def live(self, seconds: float, pressure: Pressure) -> None:
        self.pressure = pressure
        for _ in range(round(seconds)):
            await self.guard.look()
            self.clock.advance(1.0)


async def test_what_is_ordered_is_done_in_order() -> None:
    scene = Scene()
    await scene.live(60, CALM_BOARD)
    assert scene.pool.told == []
    await scene.live(60, SHORT)
    assert scene.pool.told == ["shrink", "old 1", "unload old", "unload new"]
    assert scene.guard.warning().startswith("memory is short: only 20 MB are free, and 100 MB should be; so far: new")


async def test_slots_come_back_when_memory_does() -> None:
    scene = Scene()
    await scene.live(5, SHORT)
    assert scene.pool.told == ["shrink", "old 1"]
    await scene.live(CALM + 2, CALM_BOARD)
    assert scene.pool.told == ["shrink", "old 1", "old 2"]
    assert scene.guard.warning() == ""


async def test_who_comes_to_an_idle_model_first_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy(name: str) -> bool:
        raise Conflict(f"The model {name} is still answering")

    scene = Scene()
    with monkeypatch.context() as patch:
        patch.setattr(scene.pool, "unload", busy)
        await scene.live(60, SHORT)
    assert scene.pool.told == ["shrink", "old 1"]
    await scene.live(60, SHORT)
    assert scene.pool.told == ["shrink", "old 1", "unload old", "unload new"]


class Model:
    name = digest = "m"
    path = Path("m.gguf")
    size = 1


def test_a_killed_worker_gets_less_each_time_and_keeps_to_it() -> None:
    limits = Limits(lambda digest: DEFAULT_MODEL)
    memory = estimate_memory(DEFAULT_MODEL, 4, 1024) + 7
    plan = whole = WorkerPlan(slots=4, context=1024, decode_threads=1, prefill_threads=1, memory=memory)
    seen = []
    while less := limits.lessen(Model(), plan):
        plan = less
        seen.append((plan.slots, plan.context))
        assert plan.memory == estimate_memory(DEFAULT_MODEL, plan.slots, plan.context) + 7
    assert seen == [(2, 1024), (1, 1024), (1, 512)]
    assert limits.apply("m", whole) == plan
    assert limits.lift() == []
    assert limits.apply("m", whole) == plan
    assert Limits(lambda digest: None).lessen(Model(), whole) is None


def test_the_real_daemon_gives_slots_back_says_so_and_still_answers(tmp_path: Path) -> None:
    (tmp_path / "proc/pressure").mkdir(parents=True)
    meminfo = tmp_path / "proc/meminfo"
    meminfo.write_text("MemAvailable: 9000000 kB")
    with running(env={"FAKE_BOARD": str(tmp_path)}) as daemon:
        daemon.wait_told("STATUS=ready")

        def model() -> dict[str, object]:
            (found,) = [m for m in daemon.admin("/admin/status")["models"] if m["name"] == MODEL]
            return found

        before = model()["slots"]
        meminfo.write_text("MemAvailable: 30000 kB")
        limit = time.monotonic() + 60
        while (now := model())["state"] != "ready" or now["slots"] == before:
            assert time.monotonic() < limit, daemon.log
            time.sleep(0.1)
        assert "memory was short" in str(now["reduced"])
        (warning,) = daemon.admin("/admin/status")["warnings"]
        assert "memory is short: only 31 MB are free" in warning
        assert daemon.chat(daemon.connect(), max_tokens=5).status == 200


def test_the_daemon_outlives_a_worker_killed_for_memory_whose_file_is_gone(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    kills = tmp_path / "proc/vmstat"
    kills.write_text("oom_kill 0")
    with running(env={"FAKE_BOARD": str(tmp_path)}) as daemon:
        daemon.wait_told("STATUS=ready")
        (found,) = daemon.admin("/admin/status")["models"]
        for blob in (daemon.state / "models/blobs").iterdir():
            blob.unlink()
        kills.write_text("oom_kill 1")
        os.kill(found["pid"], signal.SIGKILL)
        limit = time.monotonic() + 60
        while "was killed by SIGKILL" not in daemon.log:
            assert time.monotonic() < limit, daemon.log
            time.sleep(0.05)
        status, said = daemon.get("/readyz")
        assert (status, "is missing: pull it again" in said["checks"]["model"]) == (503, True)
        assert "died" not in daemon.log
