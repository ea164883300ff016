"""Stores: indexed in the background, resumed, re-indexed, searched; one account's only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fakes.documents import Shelf
from fakes.pdf_files import bomb_pdf

from mongarsd.ground.errors import BadRequest, Busy, ContextOverflow, InvalidModel, ModelNotFound, NotFound
from mongarsd.ground.job import Priority
from mongarsd.memory.documents.filters import compile_filter
from mongarsd.memory.documents.types import Counts, Cut, NewEntry
from mongarsd.memory.recall import words

CATS = "# Pets\n\nThe kitten sleeps on the sofa."
CARS = "# Things\n\nThe vehicle stands in the garage."
RAIN = "# Weather\n\nA drizzle all day in the garden."


async def test_a_file_is_found_by_words_and_by_meaning(shelf: Shelf) -> None:
    store = await shelf.store(CATS, CARS, RAIN)
    (entry, *_) = await shelf.entries(store)
    assert (entry.status, entry.bytes) == ("completed", len(CATS))
    best = (await shelf.find(store, "sofa"))[0]
    assert (best.text, best.headings, best.start, best.end, best.page) == (CATS, ("Pets",), 0, len(CATS), None)
    assert best.filename == "0.md"
    assert (await shelf.find(store, "auto"))[0].text == CARS
    assert all(0 < hit.score <= 1 for hit in await shelf.find(store, "kitten sofa"))
    assert shelf.embedder.asked[0] == (Priority.BATCH, 3)
    assert shelf.embedder.asked[-1] == (Priority.INTERACTIVE, 1)


async def test_without_an_embedder_words_find_and_one_that_arrives_improves_it(shelf: Shelf) -> None:
    shelf.embedder.model = ""
    store = await shelf.store(CATS, CARS)
    assert [entry.status for entry in await shelf.entries(store)] == ["completed"] * 2
    assert await shelf.find(store, "auto") == []
    assert (await shelf.find(store, "vehicles"))[0].text == CARS
    shelf.embedder.model = "sha256:one"
    await shelf.index()
    assert (await shelf.find(store, "auto"))[0].text == CARS


async def test_another_embedder_embeds_anew_and_words_find_meanwhile(shelf: Shelf) -> None:
    store = await shelf.store(CATS, CARS)
    await shelf.find(store, "auto")
    shelf.embedder.model = "sha256:two"
    assert (await shelf.find(store, "garage"))[0].text == CARS
    shelf.embedder.asked.clear()
    await shelf.index()
    assert shelf.embedder.asked == [(Priority.BATCH, 2)]
    assert (await shelf.find(store, "auto"))[0].text == CARS


@pytest.mark.parametrize("error", [ModelNotFound("none"), InvalidModel("damaged")])
async def test_a_model_that_fails_leaves_the_words(shelf: Shelf, error: ModelNotFound) -> None:
    shelf.embedder.error = error
    with pytest.raises(type(error)):
        await shelf.store(CATS)
    store = (await shelf.documents.stores.page("me"))[0][0]
    assert store.counts == Counts(completed=1)
    assert (await shelf.find(store.id, "sofa"))[0].text == CATS


async def test_a_busy_model_is_waited_for(shelf: Shelf) -> None:
    shelf.embedder.error = Busy("full")
    with pytest.raises(Busy):
        await shelf.store(CATS)
    store = (await shelf.documents.stores.page("me"))[0][0]
    assert store.counts == Counts(in_progress=1)
    shelf.embedder.error = None
    await shelf.index()
    assert (await shelf.documents.stores.get("me", store.id)).counts == Counts(completed=1)


async def test_a_chunk_that_the_model_cannot_take_does_not_stop_the_others(shelf: Shelf) -> None:
    await shelf.store(CATS)
    shelf.embedder.refuse["garage"] = ContextOverflow("too long")
    store = await shelf.store(CARS, RAIN)
    assert [entry.status for entry in await shelf.entries(store)] == ["completed"] * 2
    assert (await shelf.find(store, "garage"))[0].text == CARS
    assert (await shelf.find(store, "shower"))[0].text == RAIN


async def test_what_cannot_be_read_fails_with_a_reason(shelf: Shelf) -> None:
    store = await shelf.store(b"PK\x03\x04zip", bomb_pdf(1 << 29), CATS)
    entries = await shelf.entries(store)
    assert [entry.status for entry in entries] == ["failed", "failed", "completed"]
    assert [entry.code for entry in entries] == ["unsupported_file", "invalid_file", None]
    assert "save it as PDF" in (entries[0].message or "")
    assert (await shelf.documents.stores.get("me", store)).counts == Counts(failed=2, completed=1)


async def test_a_restart_goes_on(shelf: Shelf) -> None:
    file = await shelf.upload("a.md", CATS)
    store = await shelf.documents.stores.create("me", "s", entries=[NewEntry(file=file.id)])
    await shelf.documents.indexing.step()  # cut, not embedded
    await shelf.close()
    await shelf.open()
    assert (await shelf.documents.stores.get("me", store.id)).counts == Counts(in_progress=1)
    await shelf.index()
    assert (await shelf.find(store.id, "feline"))[0].text == CATS


async def test_what_half_a_try_left_is_not_there_twice(shelf: Shelf) -> None:
    store = await shelf.store(CATS)
    await shelf.database.write(
        lambda connection: connection.execute("UPDATE vector_store_files SET status = 'in_progress', cut = 0")
    )
    assert await shelf.find(store, "sofa") == []
    await shelf.index()
    assert len(await shelf.find(store, "sofa")) == 1


async def test_a_file_that_is_added_again_is_indexed_anew_only_if_cut_in_another_way(shelf: Shelf) -> None:
    text = "One sentence about bread. " * 60
    store = await shelf.store(text)
    (entry,) = await shelf.entries(store)
    before = await shelf.documents.stores.text("me", store, entry.file)
    await shelf.documents.stores.add("me", store, [NewEntry(file=entry.file, attributes={"lang": "en"})])
    (again,) = await shelf.entries(store)
    assert (again.status, again.attributes) == ("completed", {"lang": "en"})
    await shelf.documents.stores.add("me", store, [NewEntry(file=entry.file, cut=Cut(100, 0))])
    await shelf.index()
    after = await shelf.documents.stores.text("me", store, entry.file)
    assert len(after) > len(before)
    assert " ".join(after) == text.strip()


async def test_a_removed_file_is_not_found(shelf: Shelf) -> None:
    store = await shelf.store(CATS, CARS)
    await shelf.find(store, "feline")
    cats, cars = await shelf.entries(store)
    await shelf.documents.stores.remove("me", store, cats.file)
    assert [hit.file for hit in await shelf.find(store, "feline sofa kitten")] in ([], [cars.file])
    await shelf.documents.files.delete("me", cars.file)
    assert await shelf.find(store, "auto garage") == []
    assert await shelf.entries(store) == []
    assert (await shelf.documents.files.get("me", cats.file)).filename == "0.md"


async def test_what_was_removed_takes_no_place_of_what_is_there(shelf: Shelf) -> None:
    """The index gives so many of the nearest: they must not be those that are gone."""
    kittens = "\n\n".join(f"# Kitten {number}\n\n" + "The kitten sleeps. " * 30 for number in range(150))
    store = await shelf.store(kittens, CARS)
    assert CARS not in [hit.text for hit in await shelf.find(store, "feline", way="meaning")]
    await shelf.documents.stores.remove("me", store, (await shelf.entries(store))[0].file)
    assert [hit.text for hit in await shelf.find(store, "feline", way="meaning")] == [CARS]


async def test_no_word_of_a_deleted_store_stays_in_the_file(shelf: Shelf) -> None:
    store = await shelf.store("The word is Xylophonist.")
    await shelf.documents.stores.delete("me", store)
    with pytest.raises(NotFound):
        await shelf.find(store, "word")
    await shelf.database.eraser.now()
    await shelf.close()
    assert b"ylophonist" not in (shelf.folder / "mongars.db").read_bytes()
    await shelf.open()


async def test_a_batch_has_its_own_counts_and_can_be_cancelled(shelf: Shelf) -> None:
    store = await shelf.store(CATS)
    files = [await shelf.upload(f"{i}.md", CARS) for i in range(3)]
    batch = await shelf.documents.stores.add("me", store, [NewEntry(file=file.id) for file in files], batch=True)
    assert (await shelf.documents.stores.batch("me", store, batch)).counts == Counts(in_progress=3)
    await shelf.documents.indexing.step()
    assert (await shelf.documents.stores.cancel("me", store, batch)).counts == Counts(in_progress=1, cancelled=2)
    await shelf.index()
    assert (await shelf.documents.stores.batch("me", store, batch)).counts == Counts(completed=1, cancelled=2)
    found, _ = await shelf.documents.stores.entries("me", store, batch=batch, status="cancelled")
    assert len(found) == 2


@pytest.mark.parametrize("query", ['"', "*", "NEAR(a b)", "a OR", "store : 1", "^a", "{headings}", "\0", " ", "'", "-"])
async def test_any_query_is_words(shelf: Shelf, query: str) -> None:
    store = await shelf.store(CATS)
    assert isinstance(await shelf.find(store, query), list)


async def test_common_words_cost_no_more_than_rare_ones(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is in too many texts the newest are ranked; what tells something is found wherever it is."""
    monkeypatch.setattr(words, "MOST_TEXTS", 3)
    store = await shelf.store(*(f"The house has number {'quince' if i in (0, 4) else 'x'}{i}." for i in range(9)))
    other = await shelf.store("The house is quiet.")

    async def found(query: str, **how: Any) -> list[str]:
        return [hit.filename for hit in await shelf.find(store, query, way="words", **how)]

    assert set(await found("house")) == {"6.md", "7.md", "8.md"}
    assert set(await found("houses number")) == {"6.md", "7.md", "8.md"}, "stems are counted"
    assert (await found("house number quince0"))[0] == "0.md"
    assert set((await found("house number quince0"))[1:]) == {"6.md", "7.md", "8.md"}
    assert await found("nothing") == []
    assert [hit.text for hit in await shelf.find(other, "house", way="words")] == ["The house is quiet."]
    first = (await shelf.entries(store))[0]
    await shelf.documents.stores.change_entry("me", store, first.file, {"year": 2020})
    test = compile_filter({"type": "eq", "key": "year", "value": 2020})
    assert await found("house", test=test) == ["0.md"], "the newest of those that pass"


async def test_filters_and_thresholds_leave_out(shelf: Shelf) -> None:
    store = await shelf.store(CATS, CATS.replace("sofa", "chair"))
    first, second = await shelf.entries(store)
    await shelf.documents.stores.change_entry("me", store, second.file, {"year": 2020})
    test = compile_filter({"type": "gte", "key": "year", "value": 2020})
    assert [hit.file for hit in await shelf.find(store, "kitten sofa", test=test)] == [second.file]
    assert [hit.file for hit in await shelf.find(store, "kitten sofa", k=1)] == [first.file]
    assert len(await shelf.find(store, "kitten sofa", threshold=0.9999)) == 1


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ({"type": "eq", "key": "a", "value": 1}, True),
        ({"type": "eq", "key": "a", "value": True}, False),
        ({"type": "ne", "key": "b", "value": "x"}, False),
        ({"type": "lt", "key": "a", "value": 1.5}, True),
        ({"type": "gt", "key": "b", "value": 1}, False),
        ({"type": "gt", "key": "missing", "value": 1}, False),
        ({"type": "in", "key": "b", "value": ["x", "y"]}, True),
        ({"type": "nin", "key": "b", "value": ["x"]}, False),
        ({"type": "and", "filters": [{"type": "eq", "key": "a", "value": 1}, {"type": "eq", "key": "b", "value": "y"}]},
         False),
        ({"type": "or", "filters": [{"type": "eq", "key": "a", "value": 1}, {"type": "eq", "key": "b", "value": "y"}]},
         True),
    ],
)  # fmt: skip
def test_filters(given: object, passes: bool) -> None:
    assert compile_filter(given)({"a": 1, "b": "x"}) is passes


@pytest.mark.parametrize(
    "given",
    [
        None, {}, {"type": "eq"}, {"type": "eq", "key": 1, "value": 1}, {"type": "is", "key": "a", "value": 1},
        {"type": "in", "key": "a", "value": 1}, {"type": "eq", "key": "a", "value": {}}, {"type": "and"},
        {"type": "and", "filters": [{"type": "x"}]}, {"type": ["and"]},
    ],
)  # fmt: skip
def test_wrong_filters_are_refused(given: object) -> None:
    with pytest.raises(BadRequest, match=r"^filters"):
        compile_filter(given)


def test_filters_are_only_so_deep() -> None:
    given: dict[str, object] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(10_000):
        given = {"type": "and", "filters": [given]}
    with pytest.raises(BadRequest):
        compile_filter(given)


async def test_indexing_runs_in_the_background(shelf: Shelf) -> None:
    task = asyncio.ensure_future(shelf.documents.run())
    try:
        file = await shelf.upload("a.md", CATS)
        store = await shelf.documents.stores.create("me", "s", entries=[NewEntry(file=file.id)])
        async with asyncio.timeout(20):
            while (await shelf.documents.stores.get("me", store.id)).counts.in_progress:
                pass
        assert (await shelf.find(store.id, "feline"))[0].text == CATS
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


VERBS: dict[str, Callable[..., object]] = {
    "get": lambda stores, store, file, batch: stores.get("other", store),
    "change": lambda stores, store, file, batch: stores.change("other", store, name="theirs"),
    "delete": lambda stores, store, file, batch: stores.delete("other", store),
    "page": lambda stores, store, file, batch: stores.page("other", after=store),
    "add": lambda stores, store, file, batch: stores.add("other", store, []),
    "create": lambda stores, store, file, batch: stores.create("other", "x", entries=[NewEntry(file=file)]),
    "entry": lambda stores, store, file, batch: stores.entry("other", store, file),
    "entries": lambda stores, store, file, batch: stores.entries("other", store),
    "change_entry": lambda stores, store, file, batch: stores.change_entry("other", store, file, {}),
    "remove": lambda stores, store, file, batch: stores.remove("other", store, file),
    "text": lambda stores, store, file, batch: stores.text("other", store, file),
    "batch": lambda stores, store, file, batch: stores.batch("other", store, batch),
    "cancel": lambda stores, store, file, batch: stores.cancel("other", store, batch),
}


async def test_another_account_finds_nothing(shelf: Shelf) -> None:
    stores = shelf.documents.stores
    store = await shelf.store(CATS)
    (entry,) = await shelf.entries(store)
    batch = await stores.add("me", store, [NewEntry(file=entry.file)], batch=True)
    for verb in VERBS.values():
        with pytest.raises(NotFound):
            await verb(stores, store, entry.file, batch)  # type: ignore[misc]
    with pytest.raises(NotFound):
        await shelf.find(store, "sofa", account="other")
    own = await shelf.store("Something else.", account="other")
    assert [hit.store for hit in await shelf.find(own, "kitten sofa", account="other")] in ([], [own])
    with pytest.raises(NotFound):  # a file of theirs in a store of one's own
        await stores.add("other", own, [NewEntry(file=entry.file)])
    assert (await stores.page("other"))[0][0].id == own
    assert (await stores.get("me", store)).name == "shelf"
