"""The default model at start: fetched when it is missing, then loaded, while the port answers already."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mongarsd.api.parts import Models
from mongarsd.daemon.progress import Show, describe
from mongarsd.ground.errors import DiskFull, Loading, MongarsError, SourceUnavailable, VerificationFailed
from mongarsd.ground.settings import ModelSettings

log = logging.getLogger(__name__)

#: What time may heal: no network yet at boot, a full disk, an interrupted mirror.
_PASSING = (SourceUnavailable, DiskFull, VerificationFailed)
RETRY = 15.0  # seconds before the second attempt; doubled each time
RETRY_MAX = 600.0  # seconds
RETRY_AFTER = 10  # seconds a client is told to wait for a model that is on its way


class Arrival:
    """Which model is on its way to this node, and how far it is, in words ("" = none)."""

    def __init__(self) -> None:
        self.model = self.stage = ""

    @property
    def coming(self) -> str:
        """The model, "" = none."""
        return self.model if self.stage else ""

    def raise_if_coming(self, name: str) -> None:
        """Raises Loading when `name` is on its way."""
        if name and name == self.coming:
            raise Loading(
                f"the model {name} is being fetched ({self.stage}); try again in a while",
                retry_after=RETRY_AFTER,
                state=self.stage,
            )


class DefaultModel:
    """`obstacle` is one sentence why the default model is not installed; "" when it is, as far as we know.
    `preloading`: it is going to be loaded as soon as it is there."""

    def __init__(
        self,
        models: Models,
        settings: ModelSettings,
        arrival: Arrival,
        *,
        show: Show,
        say: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._models, self._settings, self._arrival = models, settings, arrival
        self._show, self._say, self._sleep = show, say, sleep
        self.obstacle = ""
        self.preloading = settings.preload

    async def run(self) -> None:
        """Ends when the default model is usable, or when only a person can help; says which."""
        try:
            if not self._installed():
                await self._fetch()
            if self._settings.preload:
                self._say(f"loading the model {self._settings.default}")
                await self._models.load(self._settings.default)
        except MongarsError as error:
            failure = f"the default model {self._settings.default} cannot be used: {error.message}"
            log.error("%s", failure)
            self._say(self.obstacle or failure)
        else:
            self._say("ready")
        finally:
            self.preloading = False

    async def _fetch(self) -> None:
        """Returns when it is installed. Raises what trying again would not heal, and sets `obstacle`."""
        name, wait = self._settings.default, RETRY
        try:
            while not self._installed():
                self._progress("waiting for the first bytes")
                log.info("fetching the default model %s", name)
                try:
                    async for progress in self._models.pull(name, None):
                        self._show(progress)
                        self._progress(describe(progress))
                except _PASSING as error:
                    if self._settings.offline:
                        raise
                    self._progress(f"{error.message} Next attempt in {wait:.0f} s.")
                    log.warning("%s Next attempt in %.0f s.", error.message, wait)
                    await self._sleep(wait)
                    wait = min(2 * wait, RETRY_MAX)
            self.obstacle = ""
        except MongarsError as error:
            self.obstacle = f"the default model {name} cannot be fetched: {error.message}"
            raise
        finally:
            self._arrival.stage = ""

    def _installed(self) -> bool:
        try:
            self._models.get(self._settings.default)
        except MongarsError:  # absent, damaged, or on its way
            return False
        return True

    def _progress(self, text: str) -> None:
        self._arrival.model, self._arrival.stage = self._settings.default, text
        self.obstacle = f"the model {self._settings.default} is being fetched: {text}"
        self._say(self.obstacle)
