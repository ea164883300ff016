"""`kill -9` under write load, 100 times over one database: what was acknowledged is there, and the file is whole."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from mongarsd.ground.clock import SystemClock
from mongarsd.memory.database.files import put_away
from mongarsd.memory.room import Memory

KILLS = 100
WRITER = Path(__file__).parents[1] / "fakes" / "keeps_writing.py"


def acknowledged(state: Path, lines: int) -> list[str]:
    """Kill the writer after this many acknowledgements; all it got out before it died count."""
    with subprocess.Popen([sys.executable, "-P", str(WRITER), str(state)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        said = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        said += child.stdout.readlines()
    return [line.strip() for line in said if line.endswith("\n")]


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_no_acknowledged_turn_is_lost_in_100_kills(tmp_path: Path) -> None:
    chance = random.Random(9)
    known: set[str] = set()
    for _ in range(KILLS):
        known.update(acknowledged(tmp_path, chance.randrange(1, 60)))
    assert len(known) > KILLS
    assert not asyncio.run(_missing(tmp_path, known))
    assert not put_away(tmp_path / "mongars.db")


async def _missing(state: Path, known: set[str]) -> set[str]:
    memory = Memory(state, SystemClock())
    await memory.start()
    await memory.check()
    async with memory.database.reader() as reader:
        there = {name for (name,) in await reader.execute_fetchall("SELECT id FROM turns")}
    await memory.close()
    return known - there
