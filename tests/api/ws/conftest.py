from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mongarsd.ground.clock import SystemClock
from mongarsd.memory.room import Memory


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[Memory]:
    room = Memory(tmp_path, SystemClock())
    await room.start()
    yield room
    await room.close()
