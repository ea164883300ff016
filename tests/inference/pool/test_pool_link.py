from __future__ import annotations

import asyncio
import socket

from mongarsd.ground.frames import Encoder
from mongarsd.ground.job import Started
from mongarsd.inference.pool.link import Link
from mongarsd.inference.worker.protocol import FromWorker, Output, Stop


async def linked() -> tuple[Link, socket.socket, list[FromWorker], asyncio.Event]:
    """A link, the worker's end of it, what it hears, and whether it was lost."""
    heard: list[FromWorker] = []
    lost = asyncio.Event()
    link = Link(heard.append, lost.set)
    ours, theirs = socket.socketpair()
    await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=ours)
    return link, theirs, heard, lost


async def test_the_last_words_of_a_worker_that_died_while_it_was_written_to_are_heard() -> None:
    link, theirs, heard, lost = await linked()
    said = [Output((Started(str(number), "node", 0.0, 7),)) for number in range(100)]
    link.send(Stop())  # never read
    with theirs:
        for message in said:
            theirs.sendall(Encoder().frame(message))
    for _ in range(10):
        link.send(Stop())
    await asyncio.wait_for(lost.wait(), 30)
    assert heard == said


async def test_a_worker_that_is_cut_off_is_not_heard_out() -> None:
    link, theirs, heard, lost = await linked()
    with theirs:
        theirs.sendall(Encoder().frame(Output((Started("1", "node", 0.0, 7),))))
        link.close()
        await asyncio.wait_for(lost.wait(), 30)
    assert heard == []
