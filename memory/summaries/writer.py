"""Writes the summaries that long conversations need, when nobody waits for the processor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from mongarsd.ground.errors import BadRequest, MongarsError, StorageUnavailable
from mongarsd.memory.database.database import Database
from mongarsd.memory.summaries import plan, store
from mongarsd.memory.summaries.store import Long, Read
from mongarsd.memory.summaries.types import Summarise, Written

log = logging.getLogger(__name__)

#: Seconds between two looks when nothing called, when the node was in use, or its model not loaded, and from a call to
#: the look: who has just been answered may ask again.
LOOK, BUSY, CALM = 60.0, 10.0, 2.0
#: Seconds until the next try after a failure: doubled each time, up to the second. And while the file is being opened.
RETRY, SELDOM, SOON = 60.0, 3600.0, 1.0


class Writer:
    """`run()` is a background task. `written` counts since the start; `trouble` says why it does not go on."""

    def __init__(self, database: Database, summarise: Summarise, wanted: Callable[[], bool]) -> None:
        self._database, self._summarise, self._wanted = database, summarise, wanted
        self._call = asyncio.Event()
        self._settled: dict[int, int] = {}  # conversation -> its bytes when nothing was to be done
        self._failures = 0
        self.written = 0
        self.trouble = ""

    def call(self) -> None:
        """A conversation has grown."""
        self._call.set()

    async def run(self) -> None:
        while True:
            rest = await self.look()
            if self.trouble:
                await asyncio.sleep(rest)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._call.wait()
            self._call.clear()
            await asyncio.sleep(CALM)

    async def look(self) -> float:
        """Write what is to be written; how many seconds to rest then."""
        try:
            while await self.step():
                pass
        except StorageUnavailable as error:  # told elsewhere
            self.trouble = error.message
            return SOON
        except (MongarsError, OSError) as error:
            words = error.message if isinstance(error, MongarsError) else str(error)
            if self.trouble != words:
                log.warning("long conversations are not summarised: %s", words)
            self.trouble = words
            self._failures += 1
            return float(min(RETRY * 2 ** min(self._failures - 1, 10), SELDOM))
        self.trouble, self._failures = "", 0
        return LOOK if self._context() else BUSY

    async def step(self) -> bool:
        """Write the summary that is needed most; False = none is, or somebody uses the node. Raises MongarsError."""
        context = self._context()
        if not context:
            return False
        async with self._database.reader() as reader:
            waiting = await store.long(reader, int(context * plan.HIGH))
        self._settled = {one.number: one.bytes for one in waiting if self._settled.get(one.number) == one.bytes}
        for one in waiting:
            if one.number not in self._settled and await self._write(one, context):
                return True
        return False

    def _context(self) -> int:
        return self._summarise.context() if self._wanted() else 0

    async def _write(self, one: Long, context: int) -> bool:
        async with self._database.reader() as reader:
            read = await store.read(reader, one.number)
        characters = plan.characters(read.turns)
        tokens = plan.estimate(read.turns, characters)
        many = plan.summarised(tokens, [turn.role == "user" for turn in read.turns], context)
        read = Read(read.before, read.turns[:many])
        most = int(context * plan.BITE * characters)
        text = plan.text(read.before.text if read.before else "", read.turns, most) if many else ""
        new = await self._written(text, context) if text else None
        if new is None:
            self._settled[one.number] = one.bytes
            return False
        if await self._database.write(lambda connection: store.store(connection, one.number, *read, new)):
            self.written += 1
        return True

    async def _written(self, text: str, context: int) -> Written | None:
        """None when the model has nothing to say to this text, or cannot take it: there are others."""
        try:
            new = await self._summarise(text, plan.longest(context))
        except BadRequest as error:
            log.warning("a conversation cannot be summarised: %s", error.code)
            return None
        return new if new.text else None
