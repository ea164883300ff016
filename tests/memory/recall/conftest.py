from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.letters import Letters

from mongarsd.ground.clock import FakeClock
from mongarsd.memory.room import Memory


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
async def room(tmp_path: Path, clock: FakeClock, letters: Letters) -> AsyncIterator[Memory]:
    room = Memory(tmp_path, clock, embed=letters, model=letters.model)
    await room.start()
    yield room
    await room.close()
