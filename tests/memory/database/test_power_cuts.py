"""The power fails while conversations are stored, 500 times: nothing acknowledged is lost, nothing is corrupt."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.power import Mark, Recorder, Step, Sync, after_cut

from mongarsd.ground.clock import FakeClock
from mongarsd.memory.conversations.store import Conversations
from mongarsd.memory.conversations.types import NewTurn
from mongarsd.memory.database.database import Database
from mongarsd.memory.database.files import put_away

CUTS = 500


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    try:
        made = Recorder()
    except OSError as error:
        pytest.skip(str(error))
    yield made
    made.close()


async def store(path: Path, recorder: Recorder, chance: random.Random) -> None:
    """Several writers at once, long and short turns, deletions and checkpoints between them."""
    clock = FakeClock()
    database = Database(path, clock=clock, connect=recorder.connect)
    await database.start()
    conversations = Conversations(database, clock)

    async def talk(number: int) -> None:
        conversation = await conversations.create("local")
        for i in range(12):
            text = f"{number} {i} " + "x" * chance.choice((10, 500, 9000))
            (turn,) = await conversations.append("local", conversation.id, [NewTurn(role="user", content=text)])
            recorder.steps.append(Mark((turn.id, text)))

    async def tidy() -> None:
        for _ in range(4):
            gone = await conversations.create("local", [NewTurn(role="user", content="y" * 3000)])
            await conversations.delete("local", gone.id)
            recorder.steps.append(Mark((gone.id, None)))

    await asyncio.gather(*(talk(number) for number in range(4)), tidy())
    await database.close()


@pytest.mark.slow
async def test_no_acknowledged_turn_is_lost_in_500_power_cuts(recorder: Recorder, tmp_path: Path) -> None:
    chance = random.Random(5)
    await store(tmp_path / "mongars.db", recorder, chance)
    syncs = sum(isinstance(step, Sync) for step in recorder.steps)
    assert syncs > 20
    lost = [cut for cut in range(CUTS) if not await survives(recorder.steps, tmp_path / f"cut{cut}", chance)]
    assert not lost


async def test_the_disk_of_this_test_does_lose_what_is_not_synced(recorder: Recorder, tmp_path: Path) -> None:
    """The same without any sync must lose something, or the test above proves nothing."""
    await store(tmp_path / "mongars.db", recorder, random.Random(5))
    steps: list[Step] = [step for step in recorder.steps if not isinstance(step, Sync)]
    chance = random.Random(6)
    assert not all([await survives(steps, tmp_path / f"cut{cut}", chance) for cut in range(20)])


def put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


async def survives(steps: list[Step], folder: Path, chance: random.Random) -> bool:
    """Cut somewhere, open what is left as the daemon does, and look for everything acknowledged."""
    files, marks = after_cut(steps, chance.randrange(len(steps)), chance)
    put(folder, files)
    database = Database(folder / "mongars.db", clock=FakeClock())
    await database.start()
    try:
        async with database.reader() as reader:
            whole = [tuple(row) for row in await reader.execute_fetchall("PRAGMA integrity_check")] == [("ok",)]
            there = dict(await reader.execute_fetchall("SELECT id, content FROM turns"))
            names = {name for (name,) in await reader.execute_fetchall("SELECT id FROM conversations")}
    finally:
        await database.close()
    put_aside = put_away(database.path)
    lost = any(there.get(name) != text if text else name in names for name, text in marks)
    return whole and not put_aside and not lost
