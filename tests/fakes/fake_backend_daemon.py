"""The real `mongarsd`, whose workers run the engine over the fake backend: needs no weights that mean anything."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from mongarsd.daemon import cli, daemon, wire
from mongarsd.tuning.pressure import PressureSensor

if __name__ == "__main__":
    if board := os.environ.get("FAKE_BOARD"):  # a folder that stands for / when memory is looked at
        wire.PressureSensor = functools.partial(PressureSensor, Path(board))  # type: ignore[assignment,misc]
    daemon.Daemon = functools.partial(daemon.Daemon, backend="fake")  # type: ignore[assignment,misc]
    sys.exit(cli.main())
