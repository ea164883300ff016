from __future__ import annotations

from pathlib import Path

from mongarsd.ground.clock import FakeClock
from mongarsd.memory.access.audit import LONGEST, Audit
from mongarsd.memory.access.types import Action
from mongarsd.memory.room import Memory


async def test_the_newest_are_kept_and_names_are_tamed(tmp_path: Path) -> None:
    memory = Memory(tmp_path, FakeClock())
    await memory.start()
    try:
        audit = Audit(memory.database, most=3)
        for number in range(5):
            await audit.record(
                Action(at=number, who="uid:0", what="DELETE /x", target=f"a\x1b{number}" * 100, status=204)
            )
        found = await audit.newest(10)
        assert [action.at for action in found] == [4, 3, 2]
        assert found[0].target == ("a?4" * 100)[:LONGEST]
        assert [action.at for action in await audit.newest(1)] == [4]
    finally:
        await memory.close()
