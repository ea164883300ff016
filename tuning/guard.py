"""When to give memory back, and in which order: caches, then slots of idle models, then idle models. Pure."""

from __future__ import annotations

import enum

from msgspec import Struct

from mongarsd.tuning.fit import CONTEXTS
from mongarsd.tuning.pressure import Pressure
from mongarsd.tuning.profile import human

#: Percent of time that programs wait for memory. Above SOME or FULL it is short (systemd-oomd acts at 60, a desktop is
#: felt to hang at about 10), below QUIET it is not.
SOME, FULL, QUIET = 20.0, 5.0, 5.0
#: With more than so many reserves free it is not us whom the whole machine's waiting is about.
PLENTY = 4
#: Seconds: how long it must be short before anything is given up, how long a measure gets to show in the readings
#: (waiting is an average over 10 s), and how long it must be calm before what was given up comes back; each time twice
#: as long, because slots that do not fit would come and go for ever.
HOLD = 2.0
SETTLE, SETTLE_WAITING = 3.0, 10.0
CALM, CALM_AT_MOST = 60.0, 3600.0
#: Less than this in the caches is not worth a message.
CRUMBS = 1 << 20


class Measure(enum.StrEnum):
    """In the order in which they are taken."""

    SHRINK = "caches shrink"
    FEWER_SLOTS = "an idle model is loaded again with fewer slots"
    UNLOAD = "an idle model is unloaded"
    RESTORE = "models may have all their slots again"


class Holdings(Struct, frozen=True, kw_only=True):
    """What could be given back now."""

    caches: int = 0  # bytes
    slots: bool = False  # an idle model has more than one slot
    idle: bool = False  # a model is idle


class Order(Struct, frozen=True):
    measure: Measure
    need: int  # bytes that are missing
    why: str


class Guard:
    """Ask `decide` every second or so."""

    def __init__(self, reserve: int) -> None:
        """`reserve`: bytes that should stay free for the rest of the board."""
        self._reserve = max(reserve, 1)
        self._short_since: float | None = None
        self._calm_since: float | None = None
        self._not_before = float("-inf")
        self._slots_taken = False
        self._patience = CALM
        self.why = ""  # while memory is short

    def decide(self, now: float, pressure: Pressure, holdings: Holdings) -> Order | None:
        self.why = self._short(pressure)
        if not self.why:
            self._short_since = None
            return self._restore(now, pressure)
        self._calm_since = None
        if self._short_since is None:
            self._short_since = now
        if now < self._not_before or (now - self._short_since < HOLD and not self._urgent(pressure)):
            return None
        measure = self._next(holdings)
        if measure is None:
            return None
        self._slots_taken |= measure is Measure.FEWER_SLOTS
        waiting = self._waiting(pressure)
        self._not_before = now + (SETTLE_WAITING if waiting else SETTLE)
        missing = 2 * self._reserve - (pressure.available or 0)
        return Order(measure, max(missing, self._reserve // 2), self.why)

    def _short(self, pressure: Pressure) -> str:
        """Why memory is short, in words; empty when it is not."""
        if pressure.available is not None and pressure.available < self._reserve:
            return f"only {human(pressure.available)} are free, and {human(self._reserve)} should be"
        return self._waiting(pressure)

    def _waiting(self, pressure: Pressure) -> str:
        if pressure.own >= SOME:
            return f"this service waits for memory {pressure.own:.0f} % of the time"
        near = pressure.available is None or pressure.available < PLENTY * self._reserve
        if near and (pressure.some >= SOME or pressure.full >= FULL):
            return f"programs wait for memory {max(pressure.some, pressure.full):.0f} % of the time"
        return ""

    def _urgent(self, pressure: Pressure) -> bool:
        return pressure.available is not None and pressure.available < self._reserve // 4

    @staticmethod
    def _next(holdings: Holdings) -> Measure | None:
        if holdings.caches >= CRUMBS:
            return Measure.SHRINK
        if holdings.slots:
            return Measure.FEWER_SLOTS
        return Measure.UNLOAD if holdings.idle else None

    def _restore(self, now: float, pressure: Pressure) -> Order | None:
        free = pressure.available is None or pressure.available > 2 * self._reserve
        if not free or max(pressure.some, pressure.full, pressure.own) >= QUIET:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        elif self._slots_taken and now - self._calm_since >= self._patience:
            why = f"memory has not been short for {self._patience:.0f} s"
            self._slots_taken = False
            self._patience = min(2 * self._patience, CALM_AT_MOST)
            return Order(Measure.RESTORE, 0, why)
        return None


def smaller(slots: int, context: int) -> tuple[int, int] | None:
    """The next less (slots, context): half the slots, then half the context; None when there is no less."""
    if slots > 1:
        return slots // 2, context
    return (1, context // 2) if context // 2 >= CONTEXTS[-1] else None
