"""From the hardware profile and an installed model to the knobs of its worker."""

from __future__ import annotations

from msgspec import structs

from mongarsd.ground.errors import DoesNotFit
from mongarsd.ground.status import Reasoned
from mongarsd.inference.models.manifest import InstalledModel
from mongarsd.inference.pool.plan import WorkerPlan
from mongarsd.tuning.estimate import DEFAULT_MODEL, ModelFacts
from mongarsd.tuning.fit import memory_budget
from mongarsd.tuning.profile import HardwareProfile
from mongarsd.tuning.recommend import Overrides, recommend


class Knobs:
    """The memory budget is fixed at start: later it would count our own workers as memory in use."""

    def __init__(self, profile: HardwareProfile, overrides: Overrides) -> None:
        self._profile = profile
        budget, why = memory_budget(profile.memory)
        own = overrides.memory_budget
        self.memory_budget = budget if own is None else own
        self._overrides = structs.replace(overrides, memory_budget=self.memory_budget)
        try:
            reasons = recommend(profile, DEFAULT_MODEL, overrides).reasons
        except DoesNotFit as error:  # only that model: another may
            reasons = (Reasoned("memory_budget", str(self.memory_budget), f"{why}; {error.message}"),)
        #: For the default model; another model may get fewer slots or a shorter context.
        self.reasons: tuple[Reasoned, ...] = reasons

    def plan(self, model: InstalledModel) -> WorkerPlan:
        """Raises DoesNotFit."""
        advice = recommend(self._profile, facts(model), self._overrides)
        return WorkerPlan(
            slots=advice.slots,
            context=advice.context,
            decode_threads=advice.decode_threads,
            prefill_threads=advice.prefill_threads,
            gpu_layers=advice.gpu_layers,
            memory=advice.memory,
        )


def facts(model: InstalledModel) -> ModelFacts:
    return ModelFacts(
        weights=model.size,
        kv_bytes_per_token=model.kv_bytes_per_token,
        context_train=model.context_length,
        layers=model.layers,
        repacks=model.repacks,
    )
