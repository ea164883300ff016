from __future__ import annotations

import asyncio
import threading

import pytest
from fakes.letters import Letters

from mongarsd.ground.clock import FakeClock
from mongarsd.memory.recall import rows
from mongarsd.memory.recall.bits import BitIndex
from mongarsd.memory.recall.indexes import Indexes
from mongarsd.memory.room import Memory


async def test_a_cancelled_search_keeps_changes_out_until_its_thread_is_done(
    room: Memory, letters: Letters, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.recall.add("local", "tea")
    while await room.recall._embedding.step():
        pass
    async with room.database.reader() as reader:
        known = await rows.embedder(reader, letters.name)
    assert known is not None
    (vector,) = await letters(["tea"])
    indexes = Indexes(room.database, clock)
    assert await indexes.search("local", *known, vector) == [1]

    looking, go_on = threading.Event(), threading.Event()
    look = BitIndex.search

    def slow(self: BitIndex, vector: bytes, count: int) -> list[int]:
        looking.set()
        assert go_on.wait(10)
        return look(self, vector, count)

    monkeypatch.setattr(BitIndex, "search", slow)
    search = asyncio.create_task(indexes.search("local", *known, vector))
    assert await asyncio.to_thread(looking.wait, 10)
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    indexes.remove("local", [1])
    assert len(indexes) == 1  # not under the eyes of the thread
    go_on.set()
    assert await indexes.search("local", *known, vector) == []
