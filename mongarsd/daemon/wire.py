"""Every part of the node, made by hand and passed in. The only module that knows all the rooms."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from mongarsd.api.app import make_admin_app, make_app
from mongarsd.api.parts import Parts
from mongarsd.daemon.address import Address
from mongarsd.daemon.cache import CacheBudgets, NodeCache
from mongarsd.daemon.config import Config
from mongarsd.daemon.default_model import Arrival, DefaultModel
from mongarsd.daemon.embedder import Embedder
from mongarsd.daemon.guard import MemoryGuard
from mongarsd.daemon.knobs import Knobs, facts
from mongarsd.daemon.limits import Limits
from mongarsd.daemon.models import NodeModels
from mongarsd.daemon.progress import default_progress
from mongarsd.daemon.readiness import ModelCheck
from mongarsd.daemon.status import Reporter
from mongarsd.daemon.summariser import Summariser
from mongarsd.ground.clock import Clock, SystemClock
from mongarsd.ground.errors import MongarsError, StartError
from mongarsd.ground.metrics import Metrics
from mongarsd.ground.settings import Settings
from mongarsd.ground.status import BoardStatus
from mongarsd.ground.tasks import OnDeath, Tasks
from mongarsd.inference.models.catalogue import load_catalogue
from mongarsd.inference.models.store import ModelStore
from mongarsd.inference.pool.plan import PoolSettings, WorkerPlan
from mongarsd.inference.pool.pool import Pool
from mongarsd.memory.room import Memory
from mongarsd.tuning.estimate import ModelFacts
from mongarsd.tuning.fit import UNKNOWN_MEMORY, reserve
from mongarsd.tuning.guard import Guard
from mongarsd.tuning.jetson import jtop_power_mode
from mongarsd.tuning.pressure import PressureSensor
from mongarsd.tuning.profile import describe, read_profile
from mongarsd.tuning.recommend import Overrides
from mongarsd.tuning.vitals import Vitals, board_status

log = logging.getLogger(__name__)

#: Seconds the start waits for the database. Longer it takes only when it must be checked after an unclean stop.
OPEN_WAIT = 1.0
#: Seconds it waits when nobody may be let in before the keys are known.
KEYS_WAIT = 60.0
#: Without a path: /readyz answers anybody.
STORES_NOT = "the memory of this node needs a look: `mongarsctl status` says why"


class Around(NamedTuple):
    """What every room is given."""

    state: Path
    clock: Clock
    metrics: Metrics
    on_death: OnDeath


class Board:
    """Of tuning: what this board has, how the knobs are set for it, and how it fares."""

    def __init__(self, state: Path, settings: Settings) -> None:
        self.profile = read_profile(state_dir=state, power_mode=jtop_power_mode)
        log.info("board: %s", describe(self.profile))
        self.knobs = Knobs(self.profile, Overrides.of(settings.inference))
        self.pressure = PressureSensor()
        self._vitals = Vitals()

    def status(self) -> BoardStatus:
        return board_status(self.profile, self._vitals.read())


class Engines:
    """Of inference: the installed models, the loaded ones, and how much memory each may have."""

    def __init__(self, around: Around, board: Board, settings: Settings, backend: str) -> None:
        self._knobs = board.knobs
        self.store = _open_store(around.state, offline=settings.models.offline)
        self.budgets = CacheBudgets(settings.cache, board.knobs.memory_budget, around.state)
        self._limits = Limits(self._llama_facts)
        self.pool = Pool(
            node=socket.gethostname(),
            resolve=self.store.resolve,
            plan=lambda model: self.plan(model.digest),
            settings=_pool_settings(settings, board.knobs.memory_budget, backend),
            clock=around.clock,
            metrics=around.metrics,
            on_death=around.on_death,
            oom_kills=board.pressure.oom_kills,
            lessen=self._limits.lessen,
        )
        self.guard = MemoryGuard(
            guard=Guard(reserve(board.profile.memory.usable or UNKNOWN_MEMORY)),
            read=board.pressure.read,
            pool=self.pool,
            limits=self._limits,
            clock=around.clock,
            metrics=around.metrics,
        )

    def plan(self, digest: str) -> WorkerPlan:
        """Of the model's next worker. Raises ModelNotFound, InvalidModel, DoesNotFit."""
        return self._limits.apply(digest, self.budgets.give(self._knobs.plan(self.store.resolve(digest))))

    def digest(self, name: str, kind: str) -> str:
        """Of an installed model; "" while there is none."""
        try:
            model = self.store.resolve(name)
        except MongarsError:
            return ""
        return model.digest if model.kind == kind else ""

    def _llama_facts(self, digest: str) -> ModelFacts | None:
        try:
            model = self.store.resolve(digest)
        except MongarsError:  # its file is gone: whoever starts it again is told so
            return None
        return facts(model) if model.format == "gguf" and model.kind == "chat" else None


class Node:
    """`start()`, then `begin()` once the port answers; `stop_pulling()`, `close()`. Both may be called twice."""

    def __init__(
        self,
        config: Config,
        state: Path,
        listen: Sequence[Address],
        say: Callable[[str], None],
        on_death: OnDeath,
        backend: str = "llama",
    ) -> None:
        settings = config.settings
        around = Around(state, SystemClock(), Metrics(), on_death)
        board = Board(state, settings)
        self._engines = engines = Engines(around, board, settings, backend)
        arrival = Arrival()
        models = NodeModels(engines.store, engines.pool, arrival)
        self._default = DefaultModel(models, settings.models, arrival, show=default_progress(), say=say)
        self._memory = memory = self._make_memory(around)
        self._background = Tasks("node", on_death)
        check = ModelCheck(settings.models.default, models, self._default, engines.plan)
        self._parts = Parts(
            executor=engines.pool,
            models=models,
            cache=NodeCache(engines.budgets, engines.pool),
            memory=memory,
            settings=settings,
            metrics=around.metrics,
            clock=around.clock,
            exposed=any(not address.loopback for address in listen),
            checks={"model": check},
            hints={"memory": lambda: STORES_NOT if memory.warnings() else ""},
            status=Reporter(
                clock=around.clock,
                listen=tuple(str(address) for address in listen),
                state_dir=str(state),
                board=board.status,
                models=models.list,
                fetching=lambda: arrival.coming,
                reasons=(*board.knobs.reasons, *engines.budgets.reasons),
                warnings=lambda: [text for text in (check(), engines.guard.warning(), *memory.warnings()) if text],
            ),
        )

    def _make_memory(self, around: Around) -> Memory:
        """It knows no models, and reads the settings that are in force when it needs one."""
        engines = self._engines

        def settings() -> Settings:
            return self._parts.settings

        return Memory(
            around.state,
            around.clock,
            settings=lambda: settings().memory,
            documents=lambda: settings().documents,
            metrics=around.metrics,
            on_death=around.on_death,
            embed=Embedder(engines.pool, lambda: settings().models.embedding),
            model=lambda: engines.digest(settings().models.embedding, "embedding"),
            summarise=Summariser(engines.pool, lambda: engines.digest(settings().models.default, "chat")),
        )

    def public(self) -> web.Application:
        """For the TCP port."""
        return make_app(self._parts)

    def control(self) -> web.Application:
        """For the control socket: the same and the admin's routes."""
        return make_admin_app(self._parts)

    async def start(self) -> None:
        await self._engines.pool.start()
        self._memory.begin()
        await self._memory.opened(OPEN_WAIT)
        if self._parts.exposed and not self.has_keys:
            await self._memory.opened(KEYS_WAIT)

    @property
    def has_keys(self) -> bool:
        """In the database; true also while it cannot be read, if keys were ever made."""
        return self._memory.access.required

    def begin(self) -> None:
        """What may take long and need not be waited for."""
        self._background.spawn("default model", self._default.run())
        self._background.spawn("model facts", self._engines.store.renew())
        self._background.spawn("memory guard", self._engines.guard.run())

    def apply(self, config: Config) -> None:
        """Put reloaded settings into force."""
        self._parts.settings = config.settings
        self._engines.pool.set_default_keep_alive(config.settings.models.keep_alive)

    async def stop_pulling(self) -> None:
        """What has arrived of a model is kept, so a pull need not be waited for."""
        await self._background.close()
        await self._engines.store.close()

    async def close(self) -> None:
        """Running answers end with an error."""
        await self.stop_pulling()
        await self._engines.pool.close()
        await self._memory.close()  # after the answers, which store their turns


def _open_store(state: Path, *, offline: bool) -> ModelStore:
    try:
        return ModelStore(state, load_catalogue(), offline=offline)
    except OSError as error:
        raise StartError(f"the models in {state} cannot be opened: {error}") from error


def _pool_settings(settings: Settings, memory_budget: int, backend: str) -> PoolSettings:
    """`workers` left to "auto": the memory budget alone decides how many models are loaded."""
    inference = settings.inference
    most = PoolSettings(memory_budget=memory_budget).workers if inference.workers == "auto" else inference.workers
    return PoolSettings(
        memory_budget=memory_budget,
        workers=most,
        queue=inference.queue,
        max_gap=inference.max_gap,
        speculation=inference.speculation,
        live_threads=inference.live_threads,
        keep_alive=settings.models.keep_alive,
        hang_timeout=inference.hang_timeout,
        backend=backend,
    )
