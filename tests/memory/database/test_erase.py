"""What was deleted is in no byte of any file."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.ground.clock import FakeClock
from mongarsd.memory.conversations.types import NewTurn
from mongarsd.memory.database import erase
from mongarsd.memory.room import Memory


def bytes_of(memory: Memory) -> bytes:
    folder = memory.database.path.parent
    return b"".join(file.read_bytes() for file in folder.rglob("mongars*") if file.is_file())


async def say(memory: Memory, *texts: str) -> str:
    turns = [NewTurn(role="user", content=text) for text in texts]
    return (await memory.conversations.create("local", turns)).id


async def test_rows_go_at_once_and_words_soon(tmp_path: Path) -> None:
    memory = Memory(tmp_path, FakeClock())
    await memory.start()
    other = await say(memory, "something that stays")
    secret = await say(memory, "the password is xylophonequartz and it is long")
    await memory.conversations.delete("local", secret)
    assert b"password is xylophonequartz" not in bytes_of(memory)
    await memory.database.eraser.now()
    assert b"xylophone" not in bytes_of(memory)
    assert [hit.conversation for hit in await memory.conversations.search("local", "stays")] == [other]
    await memory.close()


async def test_what_a_memory_said_before_is_gone_too(tmp_path: Path) -> None:
    memory = Memory(tmp_path, FakeClock())
    await memory.start()
    told = await memory.recall.add("local", "the password is xylophonequartz")
    other = await memory.recall.add("local", "the pin is marimbaquartz")
    await memory.recall.change("local", told.id, "the password has changed")
    assert b"password is xylophonequartz" not in bytes_of(memory)
    await memory.database.eraser.now()
    assert b"xylophone" not in bytes_of(memory)
    assert b"marimba" in bytes_of(memory)
    await memory.recall.delete("local", other.id)
    await memory.database.eraser.now()
    assert b"marimba" not in bytes_of(memory)
    assert [hit.memory.id for hit in (await memory.recall.search("local", "changed")).hits] == [told.id]
    await memory.close()


async def test_a_comment_a_title_and_a_label_that_were_replaced_are_gone(tmp_path: Path) -> None:
    memory = Memory(tmp_path, FakeClock())
    await memory.start()
    store = memory.conversations
    name = await say(memory, "hello")
    (turn,) = (await store.turns("local", name)).items
    await store.rate("local", turn.id, -1, "it should say xylophonequartz")
    await store.change("local", name, title="marimbaquartz", metadata={"about": "celestaquartz"})
    assert all(word in bytes_of(memory) for word in (b"xylophone", b"marimba", b"celesta"))
    await store.rate("local", turn.id, 1)
    await store.change("local", name, title="Greetings", metadata={})
    assert not any(word in bytes_of(memory) for word in (b"xylophone", b"marimba", b"celesta"))
    await memory.close()


async def test_a_kill_in_between_forgets_nothing(tmp_path: Path) -> None:
    """The file itself knows what is due: here nobody was told before it was left as it was."""
    memory = Memory(tmp_path, FakeClock())
    await memory.start()
    await memory.conversations.delete("local", await say(memory, "the password is xylophonequartz"))
    await memory.database.close()
    again = Memory(tmp_path, FakeClock())
    await again.start()
    assert b"xylophone" in bytes_of(again)
    await again.close()
    assert b"xylophone" not in bytes_of(again)


async def test_a_backup_has_none_of_it(tmp_path: Path) -> None:
    memory = Memory(tmp_path, FakeClock())
    await memory.start()
    await memory.conversations.delete("local", await say(memory, "the password is xylophonequartz"))
    await memory.backup()
    assert b"xylophone" not in bytes_of(memory)
    await memory.close()


async def test_a_reader_of_the_log_delays_it(tmp_path: Path) -> None:
    memory = Memory(tmp_path, FakeClock())
    await memory.start()
    name = await say(memory, "the password is xylophonequartz")
    reading = memory.database.separate()
    reading.execute("BEGIN")
    reading.execute("SELECT count(*) FROM turns").fetchone()
    await memory.database.write(
        lambda connection: (connection.execute("DELETE FROM conversations"), erase.erase(connection))
    )
    with_reader = memory.database.eraser
    await with_reader.now()
    assert with_reader.waiting
    reading.close()
    await with_reader.now()
    assert not with_reader.waiting
    assert b"xylophone" not in bytes_of(memory), name
    await memory.close()


async def test_deletions_that_come_together_share_one_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase, "GATHER", 0.01)
    memory = Memory(tmp_path, FakeClock())
    await memory.start()
    names = [await say(memory, f"quartz{number} word") for number in range(20)]
    for name in names:
        await memory.conversations.delete("local", name)
    before = memory.database.writes
    task = asyncio.create_task(memory.database.eraser.run())
    for _ in range(1000):
        if b"quartz" not in bytes_of(memory) and not memory.database.eraser.waiting:
            break
        await asyncio.sleep(0.01)
    else:
        raise AssertionError("it was not erased")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert memory.database.writes - before < len(names)
    await memory.close()


_WORDS = st.lists(st.integers(0, 400), min_size=1, max_size=12)


@given(st.lists(_WORDS, min_size=2, max_size=25), st.data())
@settings(max_examples=25, deadline=None)
def test_whatever_was_written_and_deleted(texts: list[list[int]], data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.integers(0, len(texts) - 1), min_size=1))
    rounds = data.draw(st.integers(1, 3))

    async def run(folder: Path) -> None:
        memory = Memory(folder, FakeClock())
        await memory.start()
        names = [
            await say(memory, " ".join(f"kept{word} own{place}x" for word in words))
            for place, words in enumerate(texts)
        ]
        for turn, place in enumerate(sorted(gone)):
            await memory.conversations.delete("local", names[place])
            if turn % rounds == 0:
                await memory.database.eraser.now()
        await memory.database.eraser.now()
        held = bytes_of(memory)
        for place in range(len(texts)):
            assert (b"own%dx" % place in held) == (place not in gone)
            assert bool(await memory.conversations.search("local", f"own{place}x")) == (place not in gone)
        await memory.database.write(_whole)
        await memory.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


def _whole(connection: object) -> None:
    """Raises when an index and its table differ."""
    for index in ("turns_fts", "memories_fts", "chunks_fts"):
        connection.execute(f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)")  # type: ignore[attr-defined]
