"""Every part of the node, made by hand and passed in. The only module that knows all the rooms."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

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
from mongarsd.ground.clock import SystemClock
from mongarsd.ground.errors import MongarsError, StartError
from mongarsd.ground.metrics import Metrics
from mongarsd.ground.settings import Settings
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
        clock, metrics = SystemClock(), Metrics()
        profile = read_profile(state_dir=state, power_mode=jtop_power_mode)
        log.info("board: %s", describe(profile))
        vitals = Vitals()
        knobs = Knobs(profile, Overrides.of(settings.inference))
        self._store = store = _open_store(state, offline=settings.models.offline)

        budgets = CacheBudgets(settings.cache, knobs.memory_budget, state)

        def plan(digest: str) -> WorkerPlan:
            return limits.apply(digest, budgets.give(knobs.plan(store.resolve(digest))))

        def llama_facts(digest: str) -> ModelFacts | None:
            model = store.resolve(digest)
            return facts(model) if model.format == "gguf" and model.kind == "chat" else None

        limits = Limits(llama_facts)
        sensor = PressureSensor()

        self._pool = Pool(
            node=socket.gethostname(),
            resolve=store.resolve,
            plan=lambda model: plan(model.digest),
            settings=_pool_settings(settings, knobs.memory_budget, backend),
            clock=clock,
            metrics=metrics,
            on_death=on_death,
            oom_kills=sensor.oom_kills,
            lessen=limits.lessen,
        )
        self._guard = guard = MemoryGuard(
            guard=Guard(reserve(profile.memory.usable or UNKNOWN_MEMORY)),
            read=sensor.read,
            pool=self._pool,
            limits=limits,
            clock=clock,
            metrics=metrics,
        )
        #: For the rooms that know no models.
        self.embed = Embedder(self._pool, lambda: self._parts.settings.models.embedding)
        self._memory = memory = Memory(
            state,
            clock,
            settings=lambda: self._parts.settings.memory,
            documents=lambda: self._parts.settings.documents,
            metrics=metrics,
            on_death=on_death,
            embed=self.embed,
            model=self._embedding_model,
            summarise=Summariser(self._pool, self._chat_model),
        )
        arrival = Arrival()
        self._models = NodeModels(store, self._pool, arrival)
        self._default = DefaultModel(self._models, settings.models, arrival, show=default_progress(), say=say)
        check = ModelCheck(settings.models.default, self._models, self._default, plan)
        self._background = Tasks("node", on_death)
        self._parts = Parts(
            executor=self._pool,
            models=self._models,
            cache=NodeCache(budgets, self._pool),
            memory=memory,
            settings=settings,
            metrics=metrics,
            clock=clock,
            exposed=any(not address.loopback for address in listen),
            checks={"model": check},
            hints={"memory": lambda: STORES_NOT if memory.warnings() else ""},
            status=Reporter(
                clock=clock,
                listen=tuple(str(address) for address in listen),
                state_dir=str(state),
                board=lambda: board_status(profile, vitals.read()),
                models=self._models.list,
                reasons=(*knobs.reasons, *budgets.reasons),
                warnings=lambda: [text for text in (check(), guard.warning(), *memory.warnings()) if text],
            ),
        )

    def public(self) -> web.Application:
        """For the TCP port."""
        return make_app(self._parts)

    def control(self) -> web.Application:
        """For the control socket: the same and the admin's routes."""
        return make_admin_app(self._parts)

    async def start(self) -> None:
        await self._pool.start()
        self._memory.begin()
        await self._memory.opened(OPEN_WAIT)
        if self._parts.exposed and not self.has_keys:
            await self._memory.opened(KEYS_WAIT)

    @property
    def has_keys(self) -> bool:
        """In the database; true also while it cannot be read, if keys were ever made."""
        return self._memory.access.required

    def _embedding_model(self) -> str:
        return self._digest(self._parts.settings.models.embedding, "embedding")

    def _chat_model(self) -> str:
        return self._digest(self._parts.settings.models.default, "chat")

    def _digest(self, name: str, kind: str) -> str:
        """Of an installed model; "" while there is none."""
        try:
            model = self._store.resolve(name)
        except MongarsError:
            return ""
        return model.digest if model.kind == kind else ""

    def begin(self) -> None:
        """What may take long and need not be waited for."""
        self._background.spawn("default model", self._default.run())
        self._background.spawn("memory guard", self._guard.run())

    def apply(self, config: Config) -> None:
        """Put reloaded settings into force."""
        self._parts.settings = config.settings
        self._pool.set_default_keep_alive(config.settings.models.keep_alive)

    async def stop_pulling(self) -> None:
        """What has arrived of a model is kept, so a pull need not be waited for."""
        await self._background.close()
        await self._store.close()

    async def close(self) -> None:
        """Running answers end with an error."""
        await self.stop_pulling()
        await self._pool.close()
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
