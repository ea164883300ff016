from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mongarsd.daemon import config
from mongarsd.daemon.daemon import Daemon
from mongarsd.ground.errors import StartError
from mongarsd.inference.pool.pool import Pool

FAST = {"MONGARSD_MODELS_OFFLINE": "1", "MONGARSD_SERVER_LISTEN": "127.0.0.1:0", "MONGARSD_INFERENCE_HANG_TIMEOUT": "1"}


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> config.Config:
    monkeypatch.setattr(config, "DEFAULT_FILE", tmp_path / "absent.toml")
    return config.load(None, FAST, {})


async def test_a_task_that_dies_ends_the_daemon(
    loaded: config.Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(pool: Pool) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Pool, "tick", broken)
    daemon = Daemon(loaded, tmp_path, lambda: loaded)
    await daemon.start()
    assert await asyncio.wait_for(daemon.run(), 30) == 1
    await daemon.close()
    await daemon.close()
    assert "the daemon ends because its task pool.watch died: RuntimeError('out of luck')" in caplog.text
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_failed_start_gives_everything_back(loaded: config.Config, tmp_path: Path) -> None:
    first = Daemon(loaded, tmp_path, lambda: loaded)
    await first.start()
    second = Daemon(loaded, tmp_path, lambda: loaded)
    with pytest.raises(StartError, match="another daemon answers"):
        await second.start()
    await second.close()
    assert (tmp_path / "control.sock").exists()  # the first one's
    await first.close()
    assert not (tmp_path / "control.sock").exists()
