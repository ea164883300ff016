"""Every test of the API gets its own server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.served import Served, serve

from mongarsd.ground.clock import FakeClock
from mongarsd.memory.access.passwords import Passwords
from mongarsd.memory.room import Memory


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as running:
        yield running


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[Memory]:
    """Whose passwords take no time."""
    room = Memory(tmp_path, FakeClock())
    room.access.passwords = Passwords(memory=8192, passes=1)
    await room.start()
    yield room
    await room.close()
