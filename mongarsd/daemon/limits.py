"""What models may have less of than planned, because memory was short or the kernel killed their worker for it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, structs

from mongarsd.inference.pool.plan import Model, WorkerPlan
from mongarsd.tuning.estimate import ModelFacts, estimate_memory
from mongarsd.tuning.guard import smaller


class Limit(Struct, frozen=True):
    slots: int
    context: int


class Limits:
    """By digest. Those of a killed worker stay until the daemon is started again; the others are lifted."""

    def __init__(self, facts: Callable[[str], ModelFacts | None]) -> None:
        """`facts`: of a digest's model; None if it has no slots to take away."""
        self._facts = facts
        self._killed: dict[str, Limit] = {}
        self._pressed: dict[str, int] = {}  # slots

    def apply(self, digest: str, plan: WorkerPlan) -> WorkerPlan:
        """The plan within the model's limits."""
        killed = self._killed.get(digest, Limit(plan.slots, plan.context))
        slots = min(plan.slots, killed.slots, self._pressed.get(digest, plan.slots))
        return self._less(digest, plan, slots, min(plan.context, killed.context))

    def lessen(self, model: Model, plan: WorkerPlan) -> WorkerPlan | None:
        """The kernel killed the worker that had `plan`: what the next one gets; None if there is no less."""
        less = smaller(plan.slots, plan.context)
        if less is None or self._facts(model.digest) is None:
            return None
        self._killed[model.digest] = Limit(*less)
        return self._less(model.digest, plan, *less)

    def halve(self, digest: str, slots: int) -> None:
        """The model, which has so many slots, gets half of them until `lift`."""
        self._pressed[digest] = max(1, slots // 2)

    def lift(self) -> list[str]:
        """Memory is not short any more. Returns whom it concerns."""
        concerned = list(self._pressed)
        self._pressed.clear()
        return concerned

    def _less(self, digest: str, plan: WorkerPlan, slots: int, context: int) -> WorkerPlan:
        facts = self._facts(digest)
        if facts is None or (slots, context) == (plan.slots, plan.context):
            return plan
        saved = estimate_memory(facts, plan.slots, plan.context) - estimate_memory(facts, slots, context)
        return structs.replace(plan, slots=slots, context=context, memory=plan.memory - saved)
