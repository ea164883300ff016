"""Everything the API needs of the daemon, passed in by hand."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from mongarsd import __version__
from mongarsd.api.aside import Aside
from mongarsd.api.logins import Attempts
from mongarsd.api.rates import Limits, Metered, Rates
from mongarsd.api.reuse import Reusing
from mongarsd.api.stored_answers import StoredAnswers
from mongarsd.api.used import UsedNames
from mongarsd.ground.clock import Clock, SystemClock
from mongarsd.ground.executor import Executor
from mongarsd.ground.metrics import Metrics
from mongarsd.ground.preset import Preset
from mongarsd.ground.settings import Settings
from mongarsd.ground.status import AvailableModel, CacheStatus, ModelCard, ModelStatus, NodeStatus, PullProgress
from mongarsd.memory.accounts import account_id
from mongarsd.memory.room import Memory

#: Says why the node is not ready, or "" when it is. Cheap: it is asked every few seconds by whoever watches.
Check = Callable[[], str]


class Models(Protocol):
    """The models of this node, and presets of them. `name` may be a name, an alias or a digest; an unknown one raises
    ModelNotFound."""

    def list(self) -> list[ModelStatus]: ...

    def get(self, name: str) -> ModelStatus: ...

    def available(self) -> Sequence[AvailableModel]:
        """The catalogue: what can be pulled by name."""
        ...

    def pull(self, ref: str, name: str | None) -> AsyncIterator[PullProgress]:
        """Fetch `ref` (a catalogue name or a source). Closing the iterator stops it; what has come is kept."""
        ...

    async def remove(self, name: str) -> None: ...

    async def load(self, name: str) -> None:
        """Returns when the model is ready."""
        ...

    async def unload(self, name: str) -> None: ...

    def keep_alive(self, name: str, seconds: float) -> None:
        """How long the model stays in memory when idle; negative = for ever. Holds until it is unloaded."""
        ...

    async def card(self, name: str) -> ModelCard:
        """What the model's file says of itself."""
        ...

    async def preset(self, name: str, preset: Preset) -> None:
        """Store it under `name`, in place of another preset. Raises BadRequest, Conflict when a model has the name."""
        ...

    async def copy(self, name: str, new: str) -> None:
        """A second name for the same file, or the same preset. Raises BadRequest, Conflict."""
        ...


class Cache(Protocol):
    """The prefix cache of this node."""

    async def status(self) -> CacheStatus: ...

    async def clear(self) -> CacheStatus:
        """Forget everything, also of models that are not loaded."""
        ...


class HttpMetrics:
    """What the API itself counts."""

    def __init__(self, metrics: Metrics) -> None:
        self.requests = metrics.counter(
            "mongarsd_http_requests_total", "Answered requests.", ("method", "route", "status")
        )
        self.seconds = metrics.histogram(
            "mongarsd_http_request_seconds", "From the request's header to the end of its answer.", labels=("route",)
        )
        self.first_token = metrics.histogram(
            "mongarsd_http_first_token_seconds", "From handing a job over to its first token."
        )
        self.connections = metrics.gauge("mongarsd_http_connections", "Open connections.", ("listener",))
        self.refused = metrics.counter(
            "mongarsd_http_connections_refused_total", "Connections closed at once because of a limit.", ("listener",)
        )
        self.stalled = metrics.counter(
            "mongarsd_http_connections_stalled_total", "Connections cut because the client read or sent too slowly."
        )
        self.sockets = metrics.gauge("mongarsd_ws_sockets", "Open WebSockets.")
        self.sessions = metrics.gauge("mongarsd_ws_sessions", "Sessions, also those without a socket.")
        self.sockets_closed = metrics.counter("mongarsd_ws_closed_total", "WebSockets that ended.", ("reason",))


@dataclass
class Parts:
    """Mutable on purpose: a reload replaces `settings`, and every request looks there again."""

    executor: Executor
    models: Models
    cache: Cache
    memory: Memory
    settings: Settings
    metrics: Metrics
    status: Callable[[], NodeStatus]
    checks: Mapping[str, Check] = field(default_factory=dict)
    #: As `checks`, but the node is of use nevertheless.
    hints: Mapping[str, Check] = field(default_factory=dict)
    clock: Clock = field(default_factory=SystemClock)
    #: Other machines can reach the port: then every request needs a key.
    exposed: bool = False
    hostname: str = field(default_factory=socket.gethostname)
    version: str = __version__
    http: HttpMetrics = field(init=False)
    rates: Rates = field(init=False)
    #: The executor for jobs of accounts: within their rates, and what is known already costs none of them.
    metered: Executor = field(init=False)
    answers: StoredAnswers = field(init=False)
    used: UsedNames = field(init=False, default_factory=UsedNames)
    aside: Aside = field(init=False, default_factory=Aside)
    #: Wrong passwords, of each user and of each address. A name's wait is short: others must not lock its owner out.
    user_attempts: Attempts = field(init=False)
    address_attempts: Attempts = field(init=False)

    def __post_init__(self) -> None:
        self.http = HttpMetrics(self.metrics)
        self.rates = Rates(self._limits, self.clock)
        self.answers = StoredAnswers(self.clock, lambda: self.settings.cache, self.metrics)
        self.metered = Reusing(Metered(self.executor, self.rates), self.answers)
        self.user_attempts, self.address_attempts = Attempts(longest=60.0), Attempts(longest=900.0)

    def _limits(self, account: str) -> Limits:
        node, own = self.settings.accounts, self.memory.accounts.limited(account_id(account))
        return Limits(
            requests=node.requests_per_minute if own.requests_per_minute is None else own.requests_per_minute,
            tokens=node.tokens_per_minute if own.tokens_per_minute is None else own.tokens_per_minute,
            jobs=node.jobs if own.jobs is None else own.jobs,
        )


PARTS: web.AppKey[Parts] = web.AppKey("parts", Parts)
