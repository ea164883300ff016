from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import NotFound
from mongarsd.memory.conversations.types import NewTurn, new_id
from mongarsd.memory.room import Memory


async def ask(memory: Memory, conversation: str, *texts: str) -> list[str]:
    """The ids of the turns of a question."""
    turns = [NewTurn(role="user", content=text) for text in texts]
    return [turn.id for turn in await memory.conversations.append("local", conversation, turns)]


async def answer(
    memory: Memory, conversation: str, question: list[str], text: str, *, model: str = "tiny", **metadata: str
) -> str:
    name = f"chatcmpl-{text}"
    turn = NewTurn(id=new_id("msg"), role="assistant", content=text, model=model)
    await memory.completions.save("local", name, conversation, question, turn, created=1.0, metadata=metadata)
    return name


async def said(memory: Memory, completion: str) -> list[str]:
    return [turn.content for turn in (await memory.completions.messages("local", completion)).items]


async def begun(memory: Memory) -> str:
    return (await memory.conversations.create("local")).id


async def test_an_answer_is_found_with_what_was_said_before_it(memory: Memory) -> None:
    talk = await begun(memory)
    first = await answer(memory, talk, await ask(memory, talk, "be brief", "one"), "1", room="kitchen")
    second = await answer(memory, talk, await ask(memory, talk, "two"), "2")
    found = await memory.completions.get("local", first)
    assert (found.answer.content, found.metadata, found.created) == ("1", {"room": "kitchen"}, 1.0)
    assert await said(memory, first) == ["be brief", "one"]
    assert await said(memory, second) == ["be brief", "one", "1", "two"]
    newest = await memory.completions.messages("local", second, limit=2, newest_first=True)
    rest = await memory.completions.messages("local", second, limit=2, newest_first=True, after=newest.after)
    assert [turn.content for page in (newest, rest) for turn in page.items] == ["two", "1", "one", "be brief"]
    assert not rest.after


async def test_an_answer_to_nothing_new_has_all_that_was_said_before(memory: Memory) -> None:
    talk = await begun(memory)
    await answer(memory, talk, await ask(memory, talk, "one"), "1")
    more = await answer(memory, talk, [], "2")
    assert await said(memory, more) == ["one", "1"]
    await memory.completions.delete("local", more)
    assert (await memory.conversations.get("local", talk)).turns == 2


async def test_answers_are_chosen_and_paged(memory: Memory) -> None:
    talk = await begun(memory)
    for n in range(5):
        await answer(memory, talk, [], str(n), model="big" if n == 2 else "tiny", parity=str(n % 2), all="'\"")

    async def listed(**which: object) -> list[str]:
        names, after = [], ""
        for _ in range(9):
            page = await memory.completions.page("local", after=after, limit=2, **which)  # type: ignore[arg-type]
            names += [one.answer.content for one in page.items]
            if not (after := page.after):
                return names
        raise AssertionError("pages without an end")

    assert await listed() == ["0", "1", "2", "3", "4"]
    assert await listed(newest_first=True) == ["4", "3", "2", "1", "0"]
    assert await listed(model="tiny") == ["0", "1", "3", "4"]
    assert await listed(metadata={"parity": "0", "all": "'\""}) == ["0", "2", "4"]
    assert await listed(model="big", metadata={"parity": "1"}) == []
    assert await listed(metadata={"nothing": "0"}) == []
    with pytest.raises(NotFound):
        await memory.completions.page("local", after="chatcmpl-9")


async def test_metadata_is_replaced_and_what_it_was_is_gone(memory: Memory) -> None:
    name = await answer(memory, await begun(memory), [], "1", a="xylophone")
    assert (await memory.completions.change("local", name, {"b": "c"})).metadata == {"b": "c"}
    assert b"xylophone" not in memory.database.path.read_bytes()


async def test_what_is_deleted_is_gone_from_the_file(memory: Memory) -> None:
    talk = (await memory.conversations.create("local", title="What is a xylophone?")).id
    name = await answer(memory, talk, await ask(memory, talk, "What is a xylophone?"), "Ask the bassoon.", a="oboe")
    other = await answer(memory, talk, await ask(memory, talk, "two"), "2")
    await memory.completions.delete("local", name)
    await memory.database.eraser.now()
    files = memory.database.path.parent.glob("mongars.db*")
    stored = b"".join(file.read_bytes() for file in files)
    assert not any(word in stored for word in (b"xylophone", b"bassoon", b"oboe"))
    assert (await memory.conversations.get("local", talk)).title == ""
    assert await said(memory, other) == ["two"]
    await memory.completions.delete("local", other)
    assert not (await memory.conversations.list("local")).items


@pytest.mark.parametrize("account", ["local", "other"])
async def test_what_is_not_there_or_another_s_is_not_found(memory: Memory, account: str) -> None:
    name = await answer(memory, await begun(memory), [], "1") if account == "other" else "chatcmpl-0"
    store = memory.completions
    for work in (
        store.get(account, name),
        store.messages(account, name),
        store.change(account, name, {}),
        store.delete(account, name),
    ):
        with pytest.raises(NotFound, match=name):
            await work
    assert not (await store.page("other")).items


async def test_what_goes_with_its_conversation_or_its_turn_is_not_found(memory: Memory) -> None:
    talk = await begun(memory)
    first, second = await answer(memory, talk, [], "1"), await answer(memory, talk, [], "2")
    await memory.conversations.delete_turn("local", (await memory.completions.get("local", first)).answer.id)
    with pytest.raises(NotFound):
        await memory.completions.get("local", first)
    await memory.conversations.delete("local", talk)
    with pytest.raises(NotFound):
        await memory.completions.get("local", second)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(["ask", "answer", "delete"]), st.integers(0, 5)), max_size=14))
async def test_a_deletion_takes_its_question_and_answer_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Chats may go on in the same conversation at the same time."""
    memory = Memory(Path(tmp_path_factory.mktemp("memory")), FakeClock())
    await memory.start()
    try:
        talk = (await memory.conversations.create("local", [NewTurn(role="system", content="stays")])).id
        names, left = count(), ["stays"]
        asked: list[tuple[list[str], list[str]]] = []  # (ids, texts) of questions without an answer
        answered: list[tuple[str, list[str]]] = []  # (name, texts) of question and answer
        for verb, n in steps:
            if verb == "ask":
                texts = [f"q{next(names)}" for _ in range(n % 3)]
                asked.append((await ask(memory, talk, *texts), texts))
                left += texts
            elif verb == "answer" and asked:
                ids, texts = asked.pop(n % len(asked))
                text = f"a{next(names)}"
                answered.append((await answer(memory, talk, ids, text), [*texts, text]))
                left.append(text)
            elif verb == "delete" and answered:
                name, texts = answered.pop(n % len(answered))
                await memory.completions.delete("local", name)
                left = [text for text in left if text not in texts]
        turns = (await memory.conversations.turns("local", talk, limit=100)).items
        assert [turn.content for turn in turns] == left
        assert (await memory.conversations.get("local", talk)).turns == len(left)
        page = await memory.completions.page("local", limit=100)
        assert sorted(one.id for one in page.items) == sorted(name for name, _ in answered)
    finally:
        await memory.close()
