"""Every test of the API gets its own server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fakes.served import Served, serve


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serve() as running:
        yield running
