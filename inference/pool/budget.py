"""The memory budget: which idle models go so that another one fits. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from mongarsd.ground.errors import Busy, DoesNotFit

#: Seconds after which a request that found only busy models should come again: about one answer on a Pi.
RETRY_AFTER = 10


class Crowded(Busy):
    """Only busy models are in the way: there will be room when one of them has nothing to do."""


class Loaded(Struct, frozen=True):
    """A model in memory. `idle_since` is None while it is loading or has jobs."""

    key: str
    memory: int  # bytes
    idle_since: float | None


def make_room(loaded: Sequence[Loaded], need: int, budget: int, most: int) -> list[str]:
    """The keys to unload, least recently used first, before `need` bytes are loaded; none goes needlessly.

    Raises DoesNotFit when the model alone is over the budget, Crowded when only busy models are in the way.
    """
    if need > budget:
        raise DoesNotFit(
            f"The model needs {_mb(need)} of memory and all models together may use {_mb(budget)}: "
            "choose a smaller model, fewer slots or a smaller context.",
            need=need,
            have=budget,
        )
    over = sum(model.memory for model in loaded) + need - budget  # bytes to free
    surplus = len(loaded) + 1 - most  # models to unload
    idle = sorted((m for m in loaded if m.idle_since is not None), key=lambda m: (m.idle_since, m.key))
    chosen: list[Loaded] = []
    while idle and (over > 0 or surplus > 0):
        chosen.append(idle.pop(0))
        over -= chosen[-1].memory
        surplus -= 1
    if over > 0 or surplus > 0:
        raise Crowded(
            f"The model needs {_mb(need)}, and the models that are answering now leave too little room: try again.",
            retry_after=RETRY_AFTER,
            need=need,
            have=max(0, need - over),
        )
    for model in reversed(chosen.copy()):  # spare what turned out not to matter, most recently used first
        if over + model.memory <= 0 and surplus < 0:
            chosen.remove(model)
            over += model.memory
            surplus += 1
    return [model.key for model in chosen]


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
