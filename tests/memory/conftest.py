from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mongarsd.ground.clock import FakeClock
from mongarsd.memory.room import Memory


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def memory(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Memory]:
    room = Memory(tmp_path, clock)
    await room.start()
    yield room
    await room.close()
