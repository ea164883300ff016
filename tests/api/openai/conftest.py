from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.served import Served, fake_parts, serve

from mongarsd.ground.clock import FakeClock
from mongarsd.memory.room import Memory


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[Memory]:
    room = Memory(tmp_path, FakeClock())
    await room.start()
    yield room
    await room.close()


@pytest.fixture
async def keeping(memory: Memory) -> AsyncIterator[Served]:
    async with serve(parts=fake_parts(memory=memory)) as running:
        yield running
