"""A model store over one source."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.model_store import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "state")
