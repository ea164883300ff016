"""What is due is sent once, whoever sends it and whatever becomes of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mongarsd.client import AsyncClient, Client

OPENED = json.dumps({"event": {"type": "session.opened", "session": "ws_1", "resumed": False}})


class Full:
    """A connection whose buffer is full after each frame."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.room = asyncio.Event()

    async def send(self, frame: str) -> None:
        self.sent.append(json.loads(frame)["id"])
        await self.room.wait()


async def test_a_task_that_is_cancelled_takes_no_other_ones_command_along(tmp_path: Path) -> None:
    session: Any = AsyncClient(socket=tmp_path).session()
    session._socket = socket = Full()
    session._state.feed(OPENED)
    for _ in range(3):
        session._state.begin(session._state.answer("Hi", None, None, {}))
    sending = asyncio.create_task(session._flush())
    await asyncio.sleep(0)
    assert socket.sent == ["c1"]
    sending.cancel()
    socket.room.set()
    await session._flush()
    assert socket.sent == ["c1", "c2", "c3"]


class Interrupted:
    """Ctrl-C is pressed while it sends."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, frame: str) -> None:
        self.sent.append(json.loads(frame)["id"])
        if len(self.sent) == 1:
            raise KeyboardInterrupt


def test_an_interrupt_takes_no_other_command_along(tmp_path: Path) -> None:
    session: Any = Client(socket=tmp_path).session()
    session._socket = socket = Interrupted()
    session._state.feed(OPENED)
    for _ in range(2):
        session._state.begin(session._state.answer("Hi", None, None, {}))
    with pytest.raises(KeyboardInterrupt):
        session._flush()
    session._flush()
    assert socket.sent == ["c1", "c2"]


async def test_what_one_connection_was_to_send_is_not_sent_on_the_next(tmp_path: Path) -> None:
    """What became of it is found out when the session is opened again."""
    session: Any = AsyncClient(socket=tmp_path).session()
    session._socket = socket = Full()
    session._state.feed(OPENED)
    for _ in range(2):
        session._state.begin(session._state.answer("Hi", None, None, {}))
    sending = asyncio.create_task(session._flush())
    await asyncio.sleep(0)
    await session._disconnect()
    session._socket = following = Full()
    socket.room.set()
    await sending
    assert (socket.sent, following.sent) == (["c1"], [])
