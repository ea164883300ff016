from __future__ import annotations

import asyncio

import pytest

from mongarsd.api.ws.stopping import Stop


async def for_ever() -> str:
    await asyncio.Event().wait()
    return "never"


async def test_what_is_not_stopped_ends_by_itself() -> None:
    stop = Stop()
    assert await stop.unless(asyncio.sleep(0, "done")) == "done"
    stop.ask()  # too late: nothing is cancelled
    await asyncio.sleep(0)


@pytest.mark.parametrize("early", [True, False])
async def test_a_stopped_command_goes_on_after_the_await(early: bool) -> None:
    stop, after = Stop(), []

    async def command() -> None:
        assert await stop.unless(for_ever()) is None
        await asyncio.sleep(0)
        after.append(1)

    task = asyncio.create_task(command())
    if not early:
        await asyncio.sleep(0)
    stop.ask()
    stop.ask()
    await task
    assert after == [1]


async def test_work_that_would_not_wait_is_not_begun_and_nothing_else_is_cancelled() -> None:
    """As an answer that is in the cache."""
    stop, begun = Stop(), []

    async def at_once() -> str:
        begun.append(1)
        return "done"

    stop.ask()
    assert await stop.unless(at_once()) is None
    await asyncio.sleep(0)
    assert not begun


async def test_who_is_cancelled_by_another_is_cancelled() -> None:
    stop = Stop()
    for asked in (False, True):
        task = asyncio.create_task(stop.unless(for_ever()))
        await asyncio.sleep(0)
        if asked:
            stop.ask()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
