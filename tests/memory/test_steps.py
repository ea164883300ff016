"""The loop of what is done in the background: until nothing waits, again when called, and after trouble."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from mongarsd.ground.errors import Busy, StorageUnavailable
from mongarsd.ground.tasks import Tasks
from mongarsd.memory import steps
from mongarsd.memory.steps import Steps


class Scripted(Steps):
    """Each step does what the script says: return it, or raise it. `ended`: the script is at its end."""

    def __init__(self, *script: bool | Exception) -> None:
        super().__init__("it waits", rest=self.note)
        self.script: Iterator[bool | Exception] = iter(script)
        self.ended = asyncio.Event()
        self.said: list[str] = []  # the trouble before each wait

    def note(self) -> None:
        self.said.append(self.trouble)

    async def step(self) -> bool:
        now = next(self.script, None)
        if isinstance(now, Exception):
            raise now
        if now is None:
            self.ended.set()
        return bool(now)


@asynccontextmanager
async def running(work: Scripted) -> AsyncIterator[None]:
    tasks = Tasks("test")
    tasks.spawn("steps", work.run())
    try:
        async with asyncio.timeout(30):
            yield
    finally:
        await tasks.close()


async def test_a_call_is_heard_at_rest() -> None:
    work = Scripted(True, True, False, True)
    async with running(work):
        while not work.said:  # noqa: ASYNC110 - a plain attribute of a fake
            await asyncio.sleep(0)
        work.call()
        await work.ended.wait()


async def test_trouble_is_told_once_and_passes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(steps, "SOON", 0.0)
    monkeypatch.setattr(steps, "RETRY", 0.0)
    monkeypatch.setattr(steps, "LOOK", 0.0)
    closed = StorageUnavailable("closed")
    with caplog.at_level(logging.WARNING):
        work = Scripted(Busy("full"), True, Busy("full"), OSError("gone"), closed, True, False)
        async with running(work):
            await work.ended.wait()
    assert work.said[:5] == ["full", "full", "gone", "closed", ""]
    assert [record.getMessage() for record in caplog.records] == ["it waits: full", "it waits: gone"]
