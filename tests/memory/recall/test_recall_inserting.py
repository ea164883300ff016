from __future__ import annotations

import asyncio
import random

import pytest

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.job import Message
from mongarsd.memory.recall import prompt
from mongarsd.memory.recall.carried import Carried, Entry, Placed, places
from mongarsd.memory.recall.inserting import Prepared, Wishes, prepare
from mongarsd.memory.room import Memory

ASK = Wishes(recall=True, remember=True)
SYSTEM = Message(role="system", content="You help.")


def user(text: str) -> Message:
    return Message(role="user", content=text)


def assistant(text: str) -> Message:
    return Message(role="assistant", content=text)


async def ask(room: Memory, *messages: Message, account: str = "local", wishes: Wishes = ASK) -> Prepared:
    return await prepare(room.recall, account, messages, wishes)


async def embed(room: Memory) -> None:
    while await room.recall._embedding.step():
        pass


async def test_what_has_to_do_with_the_question_stands_before_it(room: Memory) -> None:
    cat = await room.recall.add("local", "My cat is called Mia")
    await room.recall.add("local", "Bread is baked at 220 degrees")
    prepared = await ask(room, SYSTEM, user("What is my cat called?"))
    assert prepared.messages[0] == SYSTEM
    expected = f"{prompt.HEAD}\n- 2023-11-14: My cat is called Mia\n\nWhat is my cat called?"
    assert prepared.messages[1].content == expected
    assert [given.memory.id for given in prepared.given] == [cat.id]
    assert prepared.given[0].hit is not None
    assert prepared.given[0].hit.words == 1.0


async def test_nothing_is_said_when_nothing_fits(room: Memory) -> None:
    await room.recall.add("local", "Bread is baked at 220 degrees")
    messages = (SYSTEM, user("What is the capital of France?"))
    assert (await ask(room, *messages)) == Prepared(messages)


async def test_the_next_turn_begins_with_the_prompt_of_the_last(room: Memory) -> None:
    await room.recall.add("local", "My cat is called Mia")
    await room.recall.add("local", "The vet of the cat is Dr Smith")
    first = [SYSTEM, user("What is my cat called?")]
    before = await ask(room, *first, wishes=ASK._replace(k=1))
    second = [*first, assistant("Mia."), user("And the vet of the cat?")]
    after = await ask(room, *second)
    assert after.messages[:2] == before.messages
    assert "Dr Smith" in after.messages[3].content
    assert "Mia" not in after.messages[3].content  # it stands above already
    assert [given.hit is None for given in after.given] == [True, False]


async def test_any_conversation_keeps_its_beginning(room: Memory, clock: FakeClock) -> None:
    dice = random.Random(3)
    words = ["red", "green", "blue", "one", "two", "three"]
    plain: list[Message] = [SYSTEM]
    before: tuple[Message, ...] = (SYSTEM,)
    for turn in range(30):
        await room.recall.add("local", f"{dice.choice(words)} {dice.choice(words)} is number {turn}")
        clock.advance(3600)
        if turn % 5 == 0:
            await embed(room)
        plain.append(user(f"{turn}: what about {dice.choice(words)}?"))
        prepared = await ask(room, *plain)
        assert prepared.messages[: len(before)] == before
        inserted = sum(len(m.content) for m in prepared.messages) - sum(len(m.content) for m in plain)
        assert inserted < 4 * 256 * prompt.BYTES + 30 * len(prompt.HEAD) + 500
        plain.append(assistant(f"answer {turn}"))
        before = (*prepared.messages, plain[-1])


async def test_what_is_deleted_or_changed_meanwhile_is_gone_from_the_history_too(room: Memory) -> None:
    cat = await room.recall.add("local", "My cat is called Mia")
    dog = await room.recall.add("local", "My dog is called Rex")
    first = [SYSTEM, user("What are my cat and dog called?")]
    assert len((await ask(room, *first)).given) == 2
    await room.recall.delete("local", cat.id)
    await room.recall.change("local", dog.id, "My dog is called Max")
    after = await ask(room, *first, assistant("?"), user("Again, please"))
    text = "".join(message.content for message in after.messages)
    assert "Mia" not in text
    assert "Rex" not in text
    assert "Max" in text


async def test_another_account_with_the_same_conversation_is_given_nothing(room: Memory) -> None:
    await room.recall.add("a", "My cat is called Mia")
    first = (SYSTEM, user("What is my cat called?"))
    assert (await ask(room, *first, account="a")).given
    second = (*first, assistant("Mia."), user("Sure?"))
    assert await ask(room, *second, account="b") == Prepared(second)


async def test_remember_and_forget(room: Memory) -> None:
    told = await ask(room, user("Remember that my cat is called Mia."))
    assert [memory.text for memory in told.remembered] == ["my cat is called Mia."]
    assert "stored" in told.messages[0].content
    again = await ask(room, user("Remember that my cat is called Mia."))
    assert again.remembered == told.remembered
    assert len((await room.recall.page("local")).items) == 1
    gone = await ask(room, user("Forget about my cat"))
    assert gone.forgotten == told.remembered
    assert "1 matching" in gone.messages[0].content
    assert "Mia" not in gone.messages[0].content
    assert (await room.recall.page("local")).items == ()


async def test_the_account_decides_what_is_obeyed(room: Memory) -> None:
    messages = (user("Remember that my cat is called Mia."),)
    assert await ask(room, *messages, wishes=Wishes(recall=True, remember=False)) == Prepared(messages)
    assert (await ask(room, *messages, wishes=Wishes(recall=False, remember=True))).remembered


async def test_a_tool_result_is_no_question(room: Memory) -> None:
    await room.recall.add("local", "My cat is called Mia")
    first = [user("What is my cat called?")]
    before = await ask(room, *first)
    call = Message(role="assistant", tool_calls=({"function": {"name": "f", "arguments": {}}},))
    after = await ask(room, *first, call, Message(role="tool", content="My cat"))
    assert after.messages[0] == before.messages[0]
    assert [given.hit for given in after.given] == [None]


async def test_the_room_for_memories_is_bounded(room: Memory) -> None:
    for number in range(20):
        await room.recall.add("local", f"cat {number} " + "likes fish and milk and naps " * 20)
    prepared = await ask(room, user("cat fish milk"), wishes=Wishes(recall=True, remember=False, k=20, tokens=64))
    assert 1 <= len(prepared.given) < 20
    assert len(prepared.messages[0].content.encode()) <= 64 * prompt.BYTES + 40


async def test_requests_at_the_same_time_do_not_disturb_each_other(room: Memory) -> None:
    for number in range(8):
        await room.recall.add(f"account{number}", f"My cat is called Mia{number}")
    found = await asyncio.gather(
        *(ask(room, user("What is my cat called?"), account=f"account{number}") for number in range(8))
    )
    assert [[given.memory.text[-1] for given in one.given] for one in found] == [[str(n)] for n in range(8)]


def test_places_are_bounded_and_the_oldest_goes_first() -> None:
    carried = Carried(most=2)
    entries = [Entry((Placed(f"mem_{number}", 5),)) for number in range(3)]
    for number, entry in enumerate(entries):
        carried.put(bytes([number]), entry)
    assert [carried.get(bytes([number])) for number in range(3)] == [None, *entries[1:]]
    carried.put(bytes([1]), Entry(()))
    assert (len(carried), carried.evictions) == (1, 1)


@pytest.mark.parametrize("other", [[user("a"), user("c")], [SYSTEM, user("a")], [assistant("a"), user("a")]])
def test_a_place_depends_on_all_before_it_and_on_whose_it_is(other: list[Message]) -> None:
    mine = {place for _, place in places("x", [user("a"), user("b")])}
    assert len(mine) == 2
    assert mine.isdisjoint(place for _, place in places("y", [user("a"), user("b")]))
    assert list(places("x", other))[-1][1] not in mine
