from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongarsd.ground.errors import BadRequest, Busy
from mongarsd.memory.access import passwords
from mongarsd.memory.access.passwords import QUEUE, Passwords

CHEAP = {"memory": 8192, "passes": 1}


@given(st.text(min_size=8, max_size=40), st.text(max_size=40))
@settings(max_examples=30, deadline=None)
async def test_only_the_same_password_fits(password: str, other: str) -> None:
    one = Passwords(**CHEAP)
    known = await one.hash(password)
    assert known != await one.hash(password)
    assert password not in known
    assert await one.check(password, known)
    assert await one.check(other, known) == (other == password)
    assert not await one.check(password, None)


async def test_the_cost_is_in_the_hash() -> None:
    assert "$m=32768,t=3,p=1$" in await Passwords().hash("correct horse")


@pytest.mark.parametrize("password", ["", "1234567", "x" * 257])
async def test_lengths(password: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await Passwords(**CHEAP).hash(password)
    assert refused.value.param == "password"
    assert not password or password not in refused.value.message


async def test_one_at_a_time_and_a_bounded_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, begun, running = threading.Event(), threading.Event(), []

    class Slow(Passwords):
        def _check(self, password: str, known: str | None) -> bool:
            running.append(password)
            begun.set()
            assert gate.wait(10)
            return True

    slow = Slow(**CHEAP)
    tasks = [asyncio.create_task(slow.check(str(number), None)) for number in range(QUEUE)]
    assert await asyncio.to_thread(begun.wait, 10)
    with pytest.raises(Busy):
        await slow.check("too many", None)
    tasks[0].cancel()  # the thread goes on, and so does its turn
    await asyncio.sleep(0)
    assert running == ["0"]
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(running) == QUEUE
    assert await slow.check("again", None)
    assert passwords.MEMORY <= 64 * 1024**2
