from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.summariser import FakeSummariser

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import BadRequest, Busy
from mongarsd.ground.settings import MemorySettings
from mongarsd.memory.conversations.types import Details, NewTurn, Turn, new_id
from mongarsd.memory.room import Memory
from mongarsd.memory.summaries import writer
from mongarsd.memory.summaries.writer import Writer

#: A question and its answer: of 256 tokens of context, six go beyond half.
ROUNDS = 10


class Node:
    """A room, its model, and the writer, which the test moves by hand."""

    def __init__(self, room: Memory, model: FakeSummariser) -> None:
        self.room, self.model = room, model
        self.settings = MemorySettings()
        self.writer = Writer(room.database, model, lambda: self.settings.summaries)

    async def talk(self, rounds: int, previous: str = "", conversation: str = "", first: int = 0) -> str:
        for number in range(first, first + rounds):
            name = new_id("resp")
            answer = NewTurn(role="assistant", content=f"answer {number}", details=Details(completion_tokens=8))
            turns = [NewTurn(role="user", content=f"hush {number}"), answer]
            await self.room.responses.save("local", name, "{}", turns, previous=previous, conversation=conversation)
            previous = name if not conversation else ""
        return name

    async def history(self, response: str) -> list[Turn]:
        return await self.room.responses.history("local", response=response, limit=1000)


@pytest.fixture
async def node(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Node]:
    room = Memory(tmp_path, clock)
    await room.start()
    yield Node(room, FakeSummariser())
    await room.close()


async def test_a_long_conversation_gets_a_summary_that_rolls(node: Node) -> None:
    last = await node.talk(ROUNDS)
    turns = await node.history(last)
    assert await node.room.summaries.carry("local", turns) is None
    assert await node.writer.look() == writer.LOOK
    carried = await node.room.summaries.carry("local", turns)
    assert carried
    assert 0 < carried.turns < len(turns)
    assert turns[carried.turns].role == "user"
    assert node.model.read[0].startswith("User: hush 0\nAssistant: answer 0\n")
    before = len(node.model.read)
    last = await node.talk(ROUNDS, last, first=ROUNDS)
    await node.writer.look()
    assert node.model.read[before].startswith(f"Earlier: {carried.summary}\nUser: hush {carried.turns // 2}\n")
    later = await node.room.summaries.carry("local", await node.history(last))
    assert later
    assert later.turns > carried.turns
    assert (await node.history(last))[0].content == "hush 0"  # the original stays
    assert (await node.room.status()).summaries == 1


async def test_a_short_one_gets_none_and_is_not_read_again(node: Node) -> None:
    await node.talk(2)
    assert not await node.writer.step()
    assert not node.model.read


async def test_nothing_is_written_while_somebody_uses_the_node_or_nobody_wants_it(node: Node) -> None:
    await node.talk(ROUNDS)
    node.model.tokens = 0
    assert await node.writer.look() == writer.BUSY
    node.model.tokens, node.settings = 256, MemorySettings(summaries=False)
    assert not await node.writer.step()
    assert not node.model.read
    node.settings = MemorySettings()
    assert await node.writer.step()


async def test_the_longest_comes_first(node: Node) -> None:
    await node.talk(ROUNDS)
    await node.talk(2 * ROUNDS, first=100)
    await node.writer.step()
    assert node.model.read[0].startswith("User: hush 100\n")


async def test_a_branch_is_not_told_what_came_after_it(node: Node) -> None:
    early = await node.talk(2)
    await node.talk(ROUNDS, early, first=2)
    await node.writer.look()
    assert await node.room.summaries.carry("local", await node.history(early)) is None


async def test_another_account_is_told_nothing(node: Node) -> None:
    turns = await node.history(await node.talk(ROUNDS))
    await node.writer.look()
    assert await node.room.summaries.carry("local", turns)
    assert await node.room.summaries.carry("other", turns) is None
    assert await node.room.summaries.carry("local", []) is None


@pytest.mark.parametrize("what", ["turn", "rewrite", "response", "conversation", "all"])
async def test_a_summary_goes_with_what_it_was_made_of(node: Node, what: str) -> None:
    first = await node.talk(1)
    turns = await node.history(await node.talk(ROUNDS, first, first=1))
    await node.writer.look()
    conversations = node.room.conversations
    assert b"summary 1 hush" in _bytes(node.room)
    if what == "turn":
        await conversations.delete_turn("local", turns[1].id)
    elif what == "rewrite":
        await conversations.rewrite("local", turns[1].id, "less", Details())
    elif what == "response":
        await node.room.responses.delete("local", first)
    elif what == "conversation":
        await conversations.delete("local", turns[0].conversation)
    else:
        await conversations.delete_all("local")
    assert await node.room.summaries.count() == 0
    await node.room.database.eraser.now()
    assert b"summary" not in _bytes(node.room)


async def test_a_turn_that_is_in_no_summary_takes_none_along(node: Node) -> None:
    last = await node.talk(ROUNDS)
    await node.writer.look()
    turns = await node.history(last)
    await node.room.conversations.rate("local", turns[0].id, 1)
    await node.room.conversations.delete_turn("local", turns[-1].id)
    assert await node.room.summaries.count() == 1


async def test_what_is_deleted_while_it_is_summarised_is_not_stored(node: Node) -> None:
    turns = await node.history(await node.talk(ROUNDS))

    async def forget() -> None:
        node.model.meanwhile = None
        await node.room.conversations.delete_turn("local", turns[0].id)
        node.model.tokens = 0

    node.model.meanwhile = forget
    await node.writer.look()
    assert await node.room.summaries.count() == 0
    assert node.writer.written == 0


@pytest.mark.parametrize("failure", [Busy("the queue is full"), OSError("the queue is full")])
async def test_a_failure_waits_longer_each_time_and_tells_no_words(
    node: Node, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    caplog.set_level(logging.DEBUG)
    await node.talk(ROUNDS)
    node.model.fail = failure
    waits = [await node.writer.look() for _ in range(20)]
    assert waits[:3] == [writer.RETRY, 2 * writer.RETRY, 4 * writer.RETRY]
    assert max(waits) == writer.SELDOM
    assert node.writer.trouble == "the queue is full"
    node.model.fail = None
    assert await node.writer.look() == writer.LOOK
    assert (node.writer.trouble, node.writer.written > 0) == ("", True)
    assert "hush" not in caplog.text


async def test_one_that_the_model_cannot_take_does_not_stop_the_others(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    await node.talk(ROUNDS)
    node.model.fail = BadRequest("hush: too long")
    assert await node.writer.look() == writer.LOOK
    assert await node.writer.look() == writer.LOOK
    assert len(node.model.read) == 1  # as long as it does not grow
    assert "hush" not in caplog.text


def _bytes(room: Memory) -> bytes:
    path = room.database.path
    log = path.with_name(path.name + "-wal")
    return path.read_bytes() + (log.read_bytes() if log.exists() else b"")
