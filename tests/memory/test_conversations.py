from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import BadRequest, NotFound
from mongarsd.memory.conversations import fulltext
from mongarsd.memory.conversations.fulltext import quoted
from mongarsd.memory.conversations.types import Details, NewTurn
from mongarsd.memory.room import Memory


def said(content: str) -> NewTurn:
    return NewTurn(role="user", content=content)


async def test_a_turn_keeps_everything_that_is_known_of_it(memory: Memory) -> None:
    conversation = await memory.conversations.create("local", title="Tea", metadata={"room": "kitchen"})
    details = Details(completion_tokens=3, timings={"first_token": 12.5}, tool_calls=({"id": "call_1"},))
    answer = NewTurn(role="assistant", content="Green tea.", node="pi", model="smollm", details=details)
    (stored,) = await memory.conversations.append("local", conversation.id, [answer])
    assert await memory.conversations.turn("local", stored.id) == stored
    assert stored.details == details
    found = await memory.conversations.get("local", conversation.id)
    assert (found.title, found.turns, found.metadata) == ("Tea", 1, {"room": "kitchen"})
    assert found.bytes > len("Green tea.")


async def test_pages_follow_each_other_without_gap_or_repetition(memory: Memory, clock: FakeClock) -> None:
    names = []
    for _ in range(7):
        names.append((await memory.conversations.create("local")).id)
        clock.advance(1)
    seen, after = [], ""
    for _ in range(4):
        page = await memory.conversations.list("local", after=after, limit=2)
        seen += [one.id for one in page.items]
        after = page.after
    assert seen == names[::-1]
    assert after == ""


async def test_turns_page_in_both_directions(memory: Memory) -> None:
    conversation = await memory.conversations.create("local", [said(str(n)) for n in range(5)])
    first = await memory.conversations.turns("local", conversation.id, limit=3)
    rest = await memory.conversations.turns("local", conversation.id, limit=3, after=first.after)
    assert [turn.content for turn in first.items + rest.items] == list("01234")
    assert rest.after == ""
    newest = await memory.conversations.turns("local", conversation.id, limit=2, newest_first=True)
    assert [turn.content for turn in newest.items] == ["4", "3"]


async def test_search_ignores_case_and_diacritics(memory: Memory) -> None:
    conversation = await memory.conversations.create("local", [said("Der Schlüssel liegt im CAFÉ."), said("nothing")])
    (hit,) = await memory.conversations.search("local", "cafe schlussel")
    assert hit.conversation == conversation.id
    assert "[CAFÉ]" in hit.snippet
    assert hit.score > 0


@pytest.mark.parametrize(
    "query", ['"', "*", "NEAR", "a NEAR(b", "AND OR NOT", "content:", "^x", "-", "{a}:", "\0", "'", "(", "a*"]
)
async def test_syntax_in_a_query_is_only_words(memory: Memory, query: str) -> None:
    await memory.conversations.create("local", [said("a near b and or not x")])
    await memory.conversations.search("local", query)


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_query_is_an_error(query: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE t USING fts5 (content)")
        connection.execute("SELECT * FROM t WHERE t MATCH ?", (" AND ".join(quoted(query)) or '"x"',)).fetchall()


async def test_signs_beside_a_word_do_not_hide_it(memory: Memory) -> None:
    await memory.conversations.create("local", [said("where is the key")])
    assert await memory.conversations.search("local", '"key" ? * -')


async def test_a_deleted_conversation_takes_its_turns_along(memory: Memory) -> None:
    conversation = await memory.conversations.create("local", [said("a zebra")])
    other = await memory.conversations.create("local", [said("a zebra too")])
    await memory.conversations.delete("local", conversation.id)
    with pytest.raises(NotFound):
        await memory.conversations.turns("local", conversation.id)
    (hit,) = await memory.conversations.search("local", "zebra")
    assert hit.conversation == other.id


async def test_another_account_sees_nothing(memory: Memory) -> None:
    conversation = await memory.conversations.create("one", [said("a secret")])
    (turn,) = (await memory.conversations.turns("one", conversation.id)).items
    store = memory.conversations
    for attempt in (
        store.get("two", conversation.id),
        store.turns("two", conversation.id),
        store.turn("two", turn.id),
        store.append("two", conversation.id, [said("x")]),
        store.change("two", conversation.id, title="x"),
        store.rate("two", turn.id, 1),
        store.delete("two", conversation.id),
        store.delete_turn("two", turn.id),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await store.search("two", "secret") == []
    assert (await store.list("two")).items == []
    assert await store.delete_all("two") == 0
    assert (await store.get("one", conversation.id)).turns == 1


async def test_feedback_is_kept(memory: Memory) -> None:
    conversation = await memory.conversations.create("local", [said("x")])
    (turn,) = (await memory.conversations.turns("local", conversation.id)).items
    rated = await memory.conversations.rate("local", turn.id, -1, "too short")
    assert (rated.feedback, rated.comment) == (-1, "too short")
    with pytest.raises(BadRequest):
        await memory.conversations.rate("local", turn.id, 2)


async def test_a_foreign_cursor_and_a_wrong_limit_are_refused(memory: Memory) -> None:
    for cursor in ("x", "é", "AAAA", "=" * 9):
        with pytest.raises(BadRequest):
            await memory.conversations.list("local", after=cursor)
    with pytest.raises(BadRequest):
        await memory.conversations.list("local", limit=0)


async def test_nothing_deleted_is_left_in_any_byte(memory: Memory) -> None:
    conversation = await memory.conversations.create("local", [said("the password is xylophonequartz " * 50)])
    await memory.conversations.create("local", [said("something else")])
    (turn,) = (await memory.conversations.turns("local", conversation.id)).items
    await memory.conversations.delete_turn("local", turn.id)
    await memory.database.eraser.now()
    files = memory.database.path.parent.glob("mongars.db*")
    assert not any(b"xylophone" in file.read_bytes() for file in files)


async def test_of_many_turns_with_the_words_the_newest_are_ranked(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fulltext, "MOST_TURNS", 3)
    store = memory.conversations
    for number in range(5):
        await store.create("local", [said(f"tea number{number}")])
        await store.create("other", [said("tea of another account")])  # takes none of the places
    assert {hit.snippet for hit in await store.search("local", "tea")} == {f"[tea] number{n}" for n in (2, 3, 4)}
    assert [hit.snippet for hit in await store.search("local", "number0")] == [
        "tea [number0]"
    ]  # few: found, old or not
