from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from mongarsd.ground.errors import NotFound
from mongarsd.memory.conversations.types import Details, NewTurn, new_id
from mongarsd.memory.room import Memory


async def save(memory: Memory, question: str, answer: str, **place: str) -> str:
    name = new_id("resp")
    turns = [NewTurn(role="user", content=question), NewTurn(role="assistant", content=answer)]
    await memory.responses.save("local", name, "{}", turns, **place)
    return name


async def told(memory: Memory, response: str) -> list[str]:
    return [turn.content for turn in await memory.responses.history("local", response=response, limit=100)]


async def test_what_follows_a_response_stands_in_its_conversation(memory: Memory) -> None:
    first = await save(memory, "one", "1", title="Numbers")
    second = await save(memory, "two", "2", previous=first)
    assert await told(memory, second) == ["one", "1", "two", "2"]
    assert await told(memory, first) == ["one", "1"]
    (conversation,) = (await memory.conversations.list("local")).items
    assert (conversation.title, conversation.turns) == ("Numbers", 4)
    saved = await memory.responses.get("local", second)
    assert [turn.content for turn in saved.input] == ["two"]
    assert saved.answer.content == "2"


async def test_a_title_goes_with_the_question_that_it_was_made_of(memory: Memory) -> None:
    first = await save(memory, "How many numbers are there?", "1", title="How many numbers")
    second = await save(memory, "two", "2", previous=first)
    await memory.responses.delete("local", first)
    (conversation,) = (await memory.conversations.list("local")).items
    assert (conversation.title, conversation.turns) == ("", 2)
    await memory.conversations.change("local", conversation.id, title="Numbers")
    third = await save(memory, "three", "3", previous=second)
    await memory.responses.delete("local", third)
    assert (await memory.conversations.get("local", conversation.id)).title == "Numbers"


async def test_a_second_continuation_is_a_branch(memory: Memory) -> None:
    first = await save(memory, "one", "1")
    second = await save(memory, "two", "2", previous=first)
    other = await save(memory, "zwei", "II", previous=first)
    assert await told(memory, second) == ["one", "1", "two", "2"]
    assert await told(memory, other) == ["one", "1", "zwei", "II"]
    assert len((await memory.conversations.list("local")).items) == 2


async def test_what_follows_one_in_a_named_conversation_stays_out_of_it(memory: Memory) -> None:
    conversation = await memory.conversations.create("local")
    first = await save(memory, "one", "1", conversation=conversation.id)
    second = await save(memory, "two", "2", previous=first)
    assert await told(memory, second) == ["one", "1", "two", "2"]
    assert (await memory.conversations.get("local", conversation.id)).turns == 2


async def test_a_deleted_response_takes_its_turns_along(memory: Memory) -> None:
    first = await save(memory, "one", "1")
    second = await save(memory, "hush question", "hush answer", previous=first)
    await memory.responses.delete("local", second)
    assert await told(memory, first) == ["one", "1"]
    (conversation,) = (await memory.conversations.list("local")).items
    assert conversation.turns == 2
    with pytest.raises(NotFound):
        await memory.responses.get("local", second)
    await memory.database.eraser.now()
    assert b"hush" not in memory.database.path.read_bytes()
    await memory.responses.delete("local", first)
    assert not (await memory.conversations.list("local")).items


async def test_the_turns_of_a_named_conversation_outlive_a_response(memory: Memory) -> None:
    conversation = await memory.conversations.create("local")
    first = await save(memory, "one", "1", conversation=conversation.id)
    await memory.responses.delete("local", first)
    assert (await memory.conversations.get("local", conversation.id)).turns == 2


async def test_a_deleted_conversation_takes_its_responses_along(memory: Memory) -> None:
    first = await save(memory, "one", "1")
    (conversation,) = (await memory.conversations.list("local")).items
    await memory.conversations.delete("local", conversation.id)
    with pytest.raises(NotFound):
        await memory.responses.get("local", first)
    with closing(sqlite3.connect(memory.database.path)) as connection:
        assert connection.execute("SELECT count(*) FROM responses").fetchone() == (0,)


@pytest.mark.parametrize("place", ["previous", "conversation"])
async def test_nothing_is_found_in_anothers_account(memory: Memory, place: str) -> None:
    name = await save(memory, "one", "1")
    there = (await memory.responses.get("local", name)).conversation if place == "conversation" else name
    with pytest.raises(NotFound):
        await memory.responses.get("other", name)
    with pytest.raises(NotFound):
        await memory.responses.delete("other", name)
    with pytest.raises(NotFound):
        await memory.responses.history("other", **{"response" if place == "previous" else place: there}, limit=1)
    with pytest.raises(NotFound):
        await memory.responses.save("other", "resp_2", "{}", [NewTurn(role="user", content="x")], **{place: there})


async def test_a_chats_own_name_finds_its_conversation_again(memory: Memory) -> None:
    made, new = await memory.conversations.of_chat("local", "chat-1", title="Tea")
    again, newer = await memory.conversations.of_chat("local", "chat-1")
    other, _ = await memory.conversations.of_chat("other", "chat-1")
    assert (new, newer) == (True, False)
    assert made == again
    assert other.id != made.id


async def test_less_of_a_turn_is_kept(memory: Memory) -> None:
    details = Details(reasoning="a hush thought")
    conversation = await memory.conversations.create("local", [NewTurn(role="assistant", content="x", details=details)])
    (turn,) = (await memory.conversations.turns("local", conversation.id)).items
    await memory.conversations.rewrite("local", turn.id, "x", Details())
    assert (await memory.conversations.turn("local", turn.id)).details == Details()
    await memory.database.eraser.now()
    assert b"hush" not in memory.database.path.read_bytes()
    smaller = await memory.conversations.get("local", conversation.id)
    assert smaller.bytes < conversation.bytes
