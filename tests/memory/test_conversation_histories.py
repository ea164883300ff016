"""Any history of conversations against lists in RAM: pages, counts and accounts agree with them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongarsd.ground.clock import FakeClock
from mongarsd.ground.errors import NotFound
from mongarsd.memory.conversations.rows import size
from mongarsd.memory.conversations.types import Details, NewTurn, Page
from mongarsd.memory.room import Memory

T = TypeVar("T")

VERBS = ["create", "create", "append", "append", "rate", "rewrite", "delete turn", "delete", "wait"]
STEPS = st.lists(
    st.tuples(st.sampled_from(VERBS), st.sampled_from("ab"), st.integers(0, 99), st.text("xé€ ", max_size=6)),
    min_size=10,
    max_size=40,
)
_runs = count()


@dataclass
class Talk:
    name: str
    turns: list[tuple[str, str, str]] = field(default_factory=list)  # id, content, comment


class Accounts:
    """What should be there. `talks`: of each account, the one that was used last at the end."""

    def __init__(self, memory: Memory, clock: FakeClock) -> None:
        self._memory, self._clock, self._prefix = memory, clock, f"run{next(_runs)}"
        self.talks: dict[str, list[Talk]] = {self.name("a"): [], self.name("b"): []}
        self._updated: dict[str, tuple[float, int]] = {}  # when each was used, and which one is younger

    def name(self, letter: str) -> str:
        return f"{self._prefix}{letter}"

    def sorted(self, account: str) -> list[Talk]:
        return sorted(self.talks[account], key=lambda talk: self._updated[talk.name], reverse=True)

    async def step(self, verb: str, letter: str, pick: int, text: str) -> None:
        store, account = self._memory.conversations, self.name(letter)
        talks = self.talks[account]
        talk = talks[pick % len(talks)] if talks else None
        turn = pick % len(talk.turns) if talk and talk.turns else -1
        if verb == "wait":
            self._clock.advance(pick % 3)
        elif verb == "create":
            contents = [f"{text}{n}" for n in range(pick % 4)]
            made = await store.create(account, [NewTurn(role="user", content=content) for content in contents])
            new = Talk(made.id)
            new.turns = [(one.id, one.content, "") for one in (await store.turns(account, made.id, limit=100)).items]
            assert [content for _, content, _ in new.turns] == contents
            talks.append(new)
            self._updated[new.name] = self._clock.wall(), len(self._updated)
        elif verb == "append" and talk:
            (stored,) = await store.append(account, talk.name, [NewTurn(role="assistant", content=text)])
            talk.turns.append((stored.id, text, ""))
            self._updated[talk.name] = self._clock.wall(), self._updated[talk.name][1]
        elif verb == "delete" and talk:
            await store.delete(account, talk.name)
            talks.remove(talk)
        elif talk and turn >= 0:
            name, content, comment = talk.turns[turn]
            if verb == "rate":
                comment = (await store.rate(account, name, pick % 3 - 1, text)).comment
                assert comment == text
            elif verb == "rewrite":
                content = text
                await store.rewrite(account, name, content, Details())
            talk.turns[turn] = name, content, comment
            if verb == "delete turn":
                await store.delete_turn(account, name)
                del talk.turns[turn]


async def pages(page: Callable[..., Awaitable[Page[T]]], limit: int, **fields: Any) -> list[T]:
    """All items, page by page; each page but the last is full."""
    found: list[T] = []
    after = ""
    for _ in range(200):
        got = await page(limit=limit, after=after, **fields)
        found += got.items
        after = got.after
        if not after:
            assert len(got.items) <= limit
            return found
        assert len(got.items) == limit
    raise AssertionError("the pages do not end")


@given(STEPS, st.integers(1, 5))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_pages_and_counts_are_those_of_what_was_said(
    memory: Memory, clock: FakeClock, steps: list[tuple[str, str, int, str]], limit: int
) -> None:
    accounts, store = Accounts(memory, clock), memory.conversations
    for step in steps:
        await accounts.step(*step)
    for account, talks in accounts.talks.items():
        found = await pages(lambda account=account, **page: store.list(account, **page), limit)
        assert [one.id for one in found] == [talk.name for talk in accounts.sorted(account)]
        for one in found:
            talk = next(talk for talk in talks if talk.name == one.id)
            for newest_first in (False, True):
                turns = await pages(
                    lambda account=account, one=one, **page: store.turns(account, one.id, **page),
                    limit,
                    newest_first=newest_first,
                )
                said = [(turn.id, turn.content, turn.comment) for turn in turns]
                assert said == (talk.turns[::-1] if newest_first else talk.turns)
            assert (one.turns, one.bytes) == (len(turns), sum(map(size, turns)))


@given(STEPS)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_nothing_of_an_account_is_reached_from_another(
    memory: Memory, clock: FakeClock, steps: list[tuple[str, str, int, str]]
) -> None:
    accounts, store = Accounts(memory, clock), memory.conversations
    for step in steps:
        await accounts.step(*step)
    mine, other = accounts.talks
    for talk in accounts.talks[other]:
        for asked in (store.get(mine, talk.name), store.turns(mine, talk.name), store.delete(mine, talk.name)):
            with pytest.raises(NotFound):
                await asked
        for name, _, _ in talk.turns:
            for wanted in (store.turn(mine, name), store.delete_turn(mine, name), store.rate(mine, name, 1)):
                with pytest.raises(NotFound):
                    await wanted
    assert await store.delete_all(mine) == len(accounts.talks[mine])
    assert [one.id for one in (await store.list(other, limit=100)).items] == [t.name for t in accounts.sorted(other)]
