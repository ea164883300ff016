from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mongarsd.tuning.tree import Tree

MakeTree = Callable[[dict[str, str]], Tree]


@pytest.fixture
def boards() -> Path:
    return Path(__file__).parent / "boards"


@pytest.fixture
def make_tree(tmp_path: Path) -> MakeTree:
    """A tree of small files: path -> text."""

    def make(files: dict[str, str]) -> Tree:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Tree(tmp_path)

    return make
