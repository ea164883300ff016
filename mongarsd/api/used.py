"""Under which names a model in memory was asked for: presets, copies and adapters share a file, and clients look for
the name they know."""

from __future__ import annotations

from mongarsd.ground.status import ModelStatus

IN_MEMORY = ("loading", "ready", "restarting")


class UsedNames:
    """Of each model since it was loaded; earlier loads are forgotten."""

    def __init__(self) -> None:
        self._loads: dict[str, dict[str, int]] = {}  # by digest: of each name, the load that it was last used for

    def add(self, model: ModelStatus) -> None:
        """A request asks for it by this name; what is not in memory, it loads."""
        digest = model.base or model.digest
        load = model.loads + (model.state not in IN_MEMORY)
        kept = {name: last for name, last in self._loads.get(digest, {}).items() if last >= load}
        self._loads[digest] = {**kept, model.name: load}

    def of(self, model: ModelStatus) -> frozenset[str]:
        """`model`: in memory."""
        return frozenset(name for name, load in self._loads.get(model.digest, {}).items() if load == model.loads)
