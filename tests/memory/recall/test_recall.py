from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.letters import Letters
from msgspec import structs

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import BadRequest, Busy, DoesNotFit, NotFound
from mongarsd.ground.job import Priority
from mongarsd.memory.conversations.types import NewTurn
from mongarsd.memory.recall import embedding
from mongarsd.memory.recall.recall import Recall
from mongarsd.memory.recall.types import MAX_TEXT
from mongarsd.memory.room import Memory


async def settled(recall: Recall) -> None:
    """Every memory has its vector, or can have none."""
    while await recall._embedding.step():
        pass


async def texts(recall: Recall, account: str, query: str, **more: int) -> list[str]:
    return [hit.memory.text for hit in (await recall.search(account, query, **more)).hits]


async def test_what_is_told_is_found_at_once_by_words_and_then_by_meaning(room: Memory, letters: Letters) -> None:
    recall = room.recall
    told = await recall.add("local", "The cat is called Mia")
    await recall.add("local", "Bread is baked at 220 degrees")
    first = await recall.search("local", "what is the cat called?")
    assert (first.mode, first.hits[0].memory) == ("words", told)
    assert first.why
    assert not told.embedded
    await settled(recall)
    found = await recall.search("local", "the cat is called mia")
    assert found.mode == "hybrid"
    assert found.hits[0].memory.id == told.id
    assert found.hits[0].memory.embedded
    assert found.hits[0].similarity == pytest.approx(1.0, abs=0.02)
    assert found.hits[0].score == pytest.approx(1.0, abs=0.01)
    assert letters.asked == [(2, Priority.BATCH), (1, Priority.INTERACTIVE)]


async def test_meaning_finds_what_shares_no_word(room: Memory) -> None:
    await room.recall.add("local", "listen")
    await room.recall.add("local", "zzzzzz")
    await settled(room.recall)
    assert await texts(room.recall, "local", "silent", k=1) == ["listen"]


async def test_an_account_sees_nothing_of_another(room: Memory) -> None:
    recall = room.recall
    mine = await recall.add("a", "The safe opens with 1234")
    await settled(recall)
    assert (await recall.search("b", "The safe opens with 1234")).hits == ()
    assert (await recall.page("b")).items == ()
    assert await recall.some("b", [mine.id]) == {}
    for attempt in (recall.get("b", mine.id), recall.delete("b", mine.id), recall.change("b", mine.id, "x")):
        with pytest.raises(NotFound):
            await attempt
    with pytest.raises(NotFound):
        await recall.page("b", after=mine.id)
    assert await recall.forget("b", "The safe opens with 1234") == []
    assert (await recall.get("a", mine.id)).text == mine.text


async def test_a_changed_memory_is_found_as_it_is_now(room: Memory) -> None:
    recall = room.recall
    old = await recall.add("local", "aaaa bbbb")
    await settled(recall)
    await recall.search("local", "warm the index")
    new = await recall.change("local", old.id, "yyyy zzzz")
    assert (new.id, new.created, new.embedded) == (old.id, old.created, False)
    assert await texts(recall, "local", "aaaa") == []
    assert await texts(recall, "local", "yyyy") == ["yyyy zzzz"]
    await settled(recall)
    (hit,) = (await recall.search("local", "yyyy zzzz")).hits
    assert hit.similarity == pytest.approx(1.0, abs=0.02)


async def test_a_deleted_memory_is_gone_everywhere(room: Memory) -> None:
    recall = room.recall
    memory = await recall.add("local", "one two three")
    await settled(recall)
    await recall.search("local", "one")
    assert await recall.delete("local", memory.id) == structs.replace(memory, embedded=True)
    assert (await recall.search("local", "one two three")).hits == ()
    with pytest.raises(NotFound):
        await recall.delete("local", memory.id)
    async with room.database.reader() as reader:
        (rows,) = await reader.execute_fetchall("SELECT count(*) FROM memories_fts WHERE memories_fts MATCH 'one'")
    assert rows[0] == 0


async def test_pages_go_from_the_newest_to_the_oldest(room: Memory, clock: FakeClock) -> None:
    for number in range(5):
        await room.recall.add("local", f"number {number}")
        clock.advance(1)
    first = await room.recall.page("local", limit=3)
    rest = await room.recall.page("local", after=first.after, limit=3)
    assert [memory.text for memory in (*first.items, *rest.items)] == [f"number {n}" for n in (4, 3, 2, 1, 0)]
    assert rest.after == ""


@pytest.mark.parametrize("text", ["", "  \n", "x" * (MAX_TEXT + 1)])
async def test_what_is_no_memory_is_refused(room: Memory, text: str) -> None:
    with pytest.raises(BadRequest, match="text"):
        await room.recall.add("local", text)
    memory = await room.recall.add("local", "x" * MAX_TEXT)
    with pytest.raises(BadRequest, match="text"):
        await room.recall.change("local", memory.id, text)


@pytest.mark.parametrize("text", ['"', "*", "NEAR(a b)", "a AND", "text:secret", "^a -b", "'; DROP", "\0", "((", "é̈"])
async def test_no_text_is_syntax(room: Memory, text: str) -> None:
    await room.recall.add("local", f"before {text} after")
    await settled(room.recall)
    assert len((await room.recall.search("local", f"{text} after")).hits) == 1


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("La clé est là", "CLE"),
        ("Die Straße", "straße"),
        ("안녕 세상", "안녕"),
        ("カギ が ある", "が"),
        ("e\u0301te\u0301", "été"),
    ],
)
async def test_words_of_any_script_are_found(room: Memory, text: str, question: str) -> None:
    await room.recall.add("local", text)
    assert await texts(room.recall, "local", question) == [text]


async def test_newer_wins_between_equals(room: Memory, clock: FakeClock) -> None:
    old = await room.recall.add("local", "the key is under the mat")
    clock.advance(90 * 86_400)
    new = await room.recall.add("local", "the key is under the mat")
    hits = (await room.recall.search("local", "key")).hits
    assert [hit.memory.id for hit in hits] == [new.id, old.id]


async def test_a_new_embedder_takes_over_step_by_step(room: Memory, letters: Letters, clock: FakeClock) -> None:
    recall = room.recall
    for number in range(embedding.BATCH + 4):
        await recall.add("local", f"fact {number} about topic{number}")
    await settled(recall)
    assert recall.progress().waiting == 0
    letters.dimensions, letters.name = 32, "sha256:other"
    found = await recall.search("local", "topic3")
    assert (found.mode, found.hits[0].memory.text) == ("words", "fact 3 about topic3")
    assert await recall._embedding.step()
    assert recall.progress().waiting == 4
    for number in range(embedding.BATCH + 4):  # those with an old vector are found by their words meanwhile
        assert (await texts(recall, "local", f"topic{number}"))[0] == f"fact {number} about topic{number}"
    await settled(recall)
    assert recall.progress().waiting == 0
    assert (await recall.search("local", "fact 3 about topic3")).hits[0].similarity == pytest.approx(1.0, abs=0.02)


async def test_the_same_name_with_other_dimensions_is_another_model(room: Memory, letters: Letters) -> None:
    recall = room.recall
    await recall.add("local", "one")
    await settled(recall)
    letters.dimensions = 128
    await recall.add("local", "two")
    assert (await recall.search("local", "two")).mode == "words"
    await settled(recall)
    assert len((await recall.search("local", "one two")).hits) == 2


async def test_one_bad_text_does_not_keep_the_others_back(room: Memory, letters: Letters) -> None:
    recall = room.recall
    letters.refuses = "poison"
    for text in ("one", "poison", "two"):
        await recall.add("local", text)
    await settled(recall)
    letters.refuses = ""
    assert recall.progress().waiting == 0
    compared = {hit.memory.text: hit.similarity for hit in (await recall.search("local", "one poison")).hits}
    assert compared["one"] is not None
    assert compared["poison"] is None


@pytest.mark.parametrize("error", [Busy("full"), DoesNotFit("too small")])
async def test_without_an_embedder_words_are_enough(room: Memory, letters: Letters, error: Exception) -> None:
    recall = room.recall
    await recall.add("local", "The cat is called Mia")
    await settled(recall)
    letters.fail = error  # type: ignore[assignment]
    found = await recall.search("local", "cat")
    assert (found.mode, found.why) == ("words", str(error))
    assert [hit.memory.text for hit in found.hits] == ["The cat is called Mia"]
    await recall.add("local", "later")
    with pytest.raises(type(error)):
        await recall._embedding.step()


async def test_the_background_task_embeds_what_is_told_and_says_why_it_cannot(room: Memory, letters: Letters) -> None:
    recall = room.recall
    task = asyncio.create_task(recall.run())
    try:
        await recall.add("local", "hello there")
        await until(lambda: recall.progress().waiting == 0 and len(letters.asked) == 1)
        letters.fail = Busy("the queue is full")
        await recall.add("local", "again")
        await until(lambda: recall.progress().trouble == "the queue is full")
    finally:
        task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true")


async def test_forget_deletes_what_is_meant_and_nothing_else(room: Memory) -> None:
    recall = room.recall
    for text in ("My address is 5 Main Street", "My cat is called Mia", "Bread is baked at 220 degrees"):
        await recall.add("local", text)
    await settled(recall)
    assert [memory.text for memory in await recall.forget("local", "my address")] == ["My address is 5 Main Street"]
    assert await recall.forget("local", "qqqq jjjj xxxx") == []
    assert len((await recall.page("local")).items) == 2


async def test_what_a_user_said_in_a_stored_turn_is_a_memory_that_goes_with_it(room: Memory) -> None:
    recall = room.recall
    said = [
        NewTurn(role="user", content="My bicycle is a red Brompton"),
        NewTurn(role="assistant", content="A red Brompton is a fine bicycle"),
        NewTurn(role="user", content="Which bicycle do I have?"),
        NewTurn(role="user", content="Thanks"),
        NewTurn(role="user", content="Forget about my bicycle"),
    ]
    conversation = await room.conversations.create("local", said)
    (memory,) = (await recall.page("local")).items
    assert (memory.text, memory.source, memory.conversation) == (said[0].content, "turn", conversation.id)
    await settled(recall)
    assert len((await recall.search("local", "bicycle")).hits) == 1
    await room.conversations.delete("local", conversation.id)
    assert (await recall.search("local", "bicycle")).hits == ()


async def test_a_fact_may_name_its_conversation_if_it_is_ones_own(room: Memory) -> None:
    conversation = await room.conversations.create("a")
    assert (await room.recall.add("a", "x is y", conversation=conversation.id)).conversation == conversation.id
    for account, name in (("b", conversation.id), ("a", "conv_none")):
        with pytest.raises(NotFound):
            await room.recall.add(account, "x is y", conversation=name)


async def test_it_is_all_there_after_a_restart(tmp_path: Path, clock: FakeClock, letters: Letters) -> None:
    for _ in range(2):
        room = Memory(tmp_path, clock, embed=letters, model=letters.model)
        await room.start()
        await room.recall.add("local", "the same fact")
        await settled(room.recall)
        await room.close()
    room = Memory(tmp_path, clock, embed=letters, model=letters.model)
    await room.start()
    hits = (await room.recall.search("local", "the same fact")).hits
    assert [round(hit.similarity or 0, 1) for hit in hits] == [1.0, 1.0]
    await room.close()
