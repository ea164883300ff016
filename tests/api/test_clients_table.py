"""docs/clients.md promises nothing that no test keeps."""

from __future__ import annotations

import re
from pathlib import Path

TABLE = Path(__file__).parents[2] / "docs" / "clients.md"
NAMED = re.compile(r"\[([^\]]+)\]\[(\w+)\]")
PLACE = re.compile(r"^\[(\w+)\]: (\S+)$", re.MULTILINE)
DASH = "–"


def test_every_test_that_it_names_exists() -> None:
    text = TABLE.read_text(encoding="utf-8")
    places = {name: (TABLE.parent / path).resolve() for name, path in PLACE.findall(text)}
    named = NAMED.findall(text)
    assert {place for _, place in named} == set(places)
    missing = [
        f"{name} in {places[place]}"
        for name, place in named
        if not re.search(rf"def test_{re.escape(name.replace(' ', '_'))}\(", places[place].read_text(encoding="utf-8"))
    ]
    assert not missing


def test_every_cell_names_one_or_is_empty() -> None:
    rows = [
        line.strip("|").split(" | ") for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")
    ]
    cells = [cell.strip() for row in rows for cell in row[1:] if row[0].strip() != "client"]
    assert len(cells) > 50
    assert [cell for cell in cells if cell != DASH and NAMED.sub("test", cell).replace("test, ", "") != "test"] == []
