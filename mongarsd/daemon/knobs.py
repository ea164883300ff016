"""From the hardware profile and an installed model to the knobs of its worker."""

from __future__ import annotations

from msgspec import structs

from mongarsd.ground.errors import DoesNotFit
from mongarsd.ground.status import Reasoned
from mongarsd.inference.models.manifest import InstalledModel
from mongarsd.inference.pool.plan import WorkerPlan
from mongarsd.inference.worker.protocol import AdapterPlan
from mongarsd.tuning.estimate import (
    DEFAULT_MODEL,
    ONNX_GRAMMAR,
    ModelFacts,
    estimate_onnx,
    estimate_reader,
    onnx_decoder_weights,
)
from mongarsd.tuning.fit import memory_budget
from mongarsd.tuning.profile import HardwareProfile, human
from mongarsd.tuning.recommend import Overrides, recommend

#: Tokens of a text that a GGUF model reads at most; it sees them in one step, whose time and memory grow with them.
READER_CONTEXT = 1024
#: Of the memory budget, what the LoRA adapters of one model may have. One of rank 16 for a 1B model takes 22 MB.
ADAPTERS = 8
#: Bytes that logits may take which nobody reads: with a vocabulary of 250,000 that is 536 tokens.
READER_LOGITS = 512 << 20
READER_LEAST = 256
#: For the threads of a model whose memory is estimated otherwise.
NO_MEMORY = ModelFacts(weights=0, kv_bytes_per_token=0, context_train=512, layers=1, repacks=False)


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
        if model.format == "onnx" and model.kind != "chat":
            return self._plan_onnx(model)
        if model.kind != "chat":
            return self._plan_reader(model)
        advice = recommend(self._profile, facts(model), self._overrides)
        return WorkerPlan(
            slots=advice.slots,
            context=advice.context,
            decode_threads=advice.decode_threads,
            prefill_threads=advice.prefill_threads,
            gpu_layers=advice.gpu_layers,
            memory=advice.memory,
            files={role: str(path) for role, path in model.paths.items()},
            backend="onnx" if model.format == "onnx" else "",
            adapters=AdapterPlan(directory=str(model.path.parent), bytes=self.memory_budget // ADAPTERS),
        )

    def _plan_reader(self, model: InstalledModel) -> WorkerPlan:
        """For a GGUF model that embeds or ranks."""
        own = self._overrides.context or READER_CONTEXT
        room = READER_LOGITS // max(1, model.vocabulary * 4) if not model.causal else READER_CONTEXT
        context = min(model.context_length or READER_CONTEXT, own, READER_CONTEXT, max(room, READER_LEAST))
        need = estimate_reader(
            facts(model),
            context=context,
            width=model.width,
            feed_forward=model.feed_forward,
            vocabulary=model.vocabulary,
            causal=model.causal,
        )
        return self._plan_reading(model, need, context)

    def _plan_onnx(self, model: InstalledModel) -> WorkerPlan:
        need = estimate_onnx(model.weights, model.float_bytes)
        files = {role: str(path) for role, path in model.paths.items()}
        return structs.replace(self._plan_reading(model, need, model.context_length), files=files, backend="onnx")

    def _plan_reading(self, model: InstalledModel, need: int, context: int) -> WorkerPlan:
        """Threads as for any model; one job is computed at a time, with whatever else waits."""
        threads = structs.replace(self._overrides, slots=None, context=None)
        advice = recommend(self._profile, NO_MEMORY, threads)
        if need > self.memory_budget:
            raise DoesNotFit(
                f"{model.name} needs {human(need)}, but only {human(self.memory_budget)} may be used: free some memory",
                need=need,
                have=self.memory_budget,
            )
        return WorkerPlan(
            slots=1,
            context=context,
            decode_threads=advice.decode_threads,
            prefill_threads=advice.prefill_threads,
            gpu_layers=advice.gpu_layers,
            memory=need,
            kind=model.kind,
            backend="llama",
        )


def facts(model: InstalledModel) -> ModelFacts:
    onnx = model.format != "gguf"
    return ModelFacts(
        weights=onnx_decoder_weights(model.weights) if onnx else model.size,
        kv_bytes_per_token=model.kv_bytes_per_token,
        state_bytes=ONNX_GRAMMAR if onnx else model.state_bytes,
        context_train=model.context_length,
        layers=model.layers,
        repacks=model.repacks,
    )
