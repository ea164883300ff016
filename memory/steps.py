"""Work done in the background step by step, when nobody waits for the processor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

from mongarsd.ground.errors import MongarsError, StorageUnavailable

log = logging.getLogger(__name__)

#: Seconds between two looks when nothing called: a new model does not.
LOOK = 30.0
#: Seconds until the next try after a failure. A call is heard before, but never sooner than SOON.
RETRY, SOON = 10.0, 1.0


class Steps(ABC):
    """`run()` is a background task, `call()` says that there is something new, `trouble` why it does not go on."""

    def __init__(self, about: str, rest: Callable[[], None]) -> None:
        """`about`: what trouble means, for the log. `rest`: called before each wait."""
        self._about, self._rest = about, rest
        self._call = asyncio.Event()
        self.trouble = ""

    @abstractmethod
    async def step(self) -> bool:
        """Do a little; False = nothing waits. Raises MongarsError, OSError."""

    def call(self) -> None:
        self._call.set()

    async def run(self) -> None:
        while True:
            self._call.clear()
            pause = LOOK
            try:
                while await self.step():
                    pass
                self.trouble = ""
            except StorageUnavailable as error:  # told elsewhere, and often over soon: the file is being opened
                self.trouble, pause = error.message, 0.0
            except (MongarsError, OSError) as error:
                words = error.message if isinstance(error, MongarsError) else str(error)
                if self.trouble != words:
                    log.warning("%s: %s", self._about, words)
                self.trouble, pause = words, RETRY
            self._rest()
            if self.trouble:
                await asyncio.sleep(SOON)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._call.wait()
