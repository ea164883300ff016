"""What each worker is doing, for `mongarsctl status`, /api/ps and /metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from mongarsd.ground.metrics import Labels
from mongarsd.inference.pool.meters import Meters
from mongarsd.inference.pool.process import resident_memory
from mongarsd.inference.pool.supervisor import Supervisor, WorkerState


class WorkerStatus(Struct, frozen=True, kw_only=True):
    """The fields that a loaded model adds to `mongarsd.ground.status.ModelStatus`, under the same names."""

    name: str
    digest: str
    state: Literal["loading", "ready", "restarting", "failed"]
    error: str
    pid: int | None
    memory: int  # bytes resident
    context: int  # tokens a slot
    slots: int
    busy_slots: int
    queued: int
    prefill_rate: float  # tokens a second
    decode_rate: float  # tokens a second, all streams
    cached_tokens: int
    threads: int  # that write; 0 = not known yet
    threads_why: str  # when they are fewer than planned
    reduced: str  # why it has fewer slots or a shorter context than planned
    computes: str = ""  # what computes it, and why, where there is a choice
    warnings: tuple[str, ...] = ()  # what its user should know of the file
    restarts: int
    idle_for: float  # seconds
    expires_in: float | None  # seconds; None = never, or busy
    keep_alive: float  # seconds idle before unload; negative = never


_NAMES: dict[WorkerState, Literal["loading", "ready", "restarting", "failed"]] = {
    WorkerState.LOADING: "loading",
    WorkerState.READY: "ready",
    WorkerState.RESTARTING: "restarting",
    WorkerState.FAILED: "failed",
    WorkerState.STOPPED: "failed",  # never listed: a retired model leaves the pool at once
}


def describe(supervisor: Supervisor, now: float, expires_in: float | None, keep_alive: float) -> WorkerStatus:
    pulse, info, idle_since = supervisor.pulse, supervisor.info, supervisor.idle_since
    return WorkerStatus(
        name=supervisor.model.name,
        digest=supervisor.model.digest,
        state=_NAMES[supervisor.state],
        error=supervisor.error.message if supervisor.error else "",
        pid=supervisor.pid,
        memory=resident_memory(supervisor.pid) if supervisor.pid else 0,
        context=info.context if info else supervisor.plan.context,
        slots=info.slots if info else supervisor.plan.slots,
        busy_slots=pulse.busy_slots if pulse else 0,
        queued=pulse.queued if pulse else len(supervisor.jobs),
        prefill_rate=pulse.prefill_rate if pulse else 0.0,
        decode_rate=pulse.decode_rate if pulse else 0.0,
        cached_tokens=pulse.cached_tokens if pulse else 0,
        threads=pulse.threads if pulse else 0,
        threads_why=pulse.threads_why if pulse else "",
        reduced=supervisor.reduced,
        computes=info.computes if info else "",
        warnings=info.warnings if info else (),
        restarts=supervisor.restarts.total,
        idle_for=now - idle_since if idle_since is not None else 0.0,
        expires_in=expires_in,
        keep_alive=keep_alive,
    )


def watch(meters: Meters, status: Callable[[], list[WorkerStatus]]) -> None:
    """Let the gauges read `status` at scrape time."""

    def by_model(value: Callable[[WorkerStatus], float]) -> Callable[[], dict[Labels, float]]:
        return lambda: {(worker.name,): value(worker) for worker in status()}

    meters.models.source = lambda: {(): float(sum(worker.state == "ready" for worker in status()))}
    meters.busy.source = by_model(lambda worker: worker.busy_slots)
    meters.queued.source = by_model(lambda worker: worker.queued)
    meters.memory.source = by_model(lambda worker: worker.memory)
    meters.threads.source = by_model(lambda worker: worker.threads)
    meters.kv.source = by_model(lambda worker: worker.cached_tokens)
