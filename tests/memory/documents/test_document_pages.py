"""Pages of files, stores and a store's files, against the list they are cut from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from fakes.documents import Shelf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongarsd.memory.documents.types import NewEntry

_runs = count()


async def check(
    page: Callable[..., Awaitable[tuple[list[str], bool]]], names: list[str], limit: int, *, backwards: bool = True
) -> None:
    """`names`: oldest first."""
    for order, right in (("asc", names), ("desc", names[::-1])):
        assert await page(order=order, limit=limit) == (right[:limit], len(right) > limit)
        for at, name in enumerate(right):
            after = right[at + 1 :]
            assert await page(order=order, limit=limit, after=name) == (after[:limit], len(after) > limit)
            if backwards:
                before = right[:at]
                assert await page(order=order, limit=limit, before=name) == (before[-limit:], len(before) > limit)


@given(st.lists(st.sampled_from(["me", "me", "other"]), max_size=7), st.sets(st.integers(0, 6)), st.integers(1, 4))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_pages_are_cut_from_what_there_is(shelf: Shelf, whose: list[str], gone: set[int], limit: int) -> None:
    run = next(_runs)
    mine, other = f"me{run}", f"other{run}"
    files, stores = shelf.documents.files, shelf.documents.stores
    held: dict[str, list[tuple[str, str]]] = {mine: [], other: []}  # files and stores that are there
    for number, who in enumerate(whose):
        account = mine if who == "me" else other
        file = await shelf.upload(f"{number}.md", "x", account)
        store = await stores.create(account, "shelf", entries=[])
        if number in gone:
            await files.delete(account, file.id)
            await stores.delete(account, store.id)
        else:
            held[account].append((file.id, store.id))

    async def some_files(**how: Any) -> tuple[list[str], bool]:
        found, more = await files.page(mine, **how)
        return [one.id for one in found], more

    async def some_stores(**how: Any) -> tuple[list[str], bool]:
        found, more = await stores.page(mine, **how)
        return [one.id for one in found], more

    names = [file for file, _ in held[mine]]
    await check(some_files, names, limit, backwards=False)
    await check(some_stores, [store for _, store in held[mine]], limit)

    whole = (await stores.create(mine, "all", entries=[NewEntry(file=name) for name in names[::2]])).id
    batch = await stores.add(mine, whole, [NewEntry(file=name) for name in names[1::2]], batch=True)

    def entries(batch: str) -> Callable[..., Awaitable[tuple[list[str], bool]]]:
        async def some(**how: Any) -> tuple[list[str], bool]:
            found, more = await stores.entries(mine, whole, batch=batch, **how)
            return [one.file for one in found], more

        return some

    await check(entries(""), names[::2] + names[1::2], limit)
    await check(entries(batch), names[1::2], limit)
