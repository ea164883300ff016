from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mongarsd.daemon.descriptors import BESIDE, LISTENERS, allow
from mongarsd.ground.errors import SettingsError

NEED = LISTENERS * 256 + BESIDE
INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limit", "after"),
    [
        ((64, 4096), (NEED, 4096)),
        ((NEED, 4096), (NEED, 4096)),
        ((64, INFINITE), (NEED, INFINITE)),
        ((INFINITE, INFINITE), (INFINITE, INFINITE)),
        ((NEED, NEED), (NEED, NEED)),
    ],
)
def test_the_limit_is_raised_as_far_as_need_be(limit: tuple[int, int], after: tuple[int, int]) -> None:
    limits = [limit]
    allow(256, lambda _: limits[-1], lambda _, new: limits.append(new))
    assert limits[-1] == after


def test_what_may_not_be_raised_so_far_is_said() -> None:
    with pytest.raises(SettingsError, match=rf"max_connections: 256 .* {NEED} open files, .* be {NEED - 1} here: set"):
        allow(256, lambda _: (64, NEED - 1), lambda *_: pytest.fail("it is not changed"))


def test_the_daemon_says_it_at_the_start(tmp_path: Path) -> None:
    """It used to start, and die of the first hundred connections."""
    command = [sys.executable, "-m", "mongarsd", "--state-dir", str(tmp_path / "s"), "--listen", "127.0.0.1:0"]
    run = subprocess.run(
        ["bash", "-c", 'ulimit -n 64; exec "$@"', "bash", *command],
        env={**os.environ, "MONGARSD_MODELS_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert run.returncode == 2
    assert "mongarsd: server.max_connections: 256 connections need" in run.stderr
    assert "Traceback" not in run.stderr
