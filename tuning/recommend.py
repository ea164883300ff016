"""From a hardware profile and a model to the knobs, each with a sentence why. Pure."""

from __future__ import annotations

from msgspec import Struct

from mongarsd.ground.settings import InferenceSettings
from mongarsd.ground.status import Reasoned
from mongarsd.tuning.board import Board, Family
from mongarsd.tuning.cpu import Cpu
from mongarsd.tuning.estimate import DEFAULT_MODEL, ModelFacts, estimate
from mongarsd.tuning.fit import SLOTS, TARGET_CONTEXT, contexts_up_to, fit, memory_budget
from mongarsd.tuning.profile import HardwareProfile, human

SET = "set by you"
#: Every layer ends with all threads waiting for the slowest; on machines with very many cores most would only wait.
MAX_DECODE_THREADS = 16
#: Slots by chip. A slot is only worth having if its stream stays readable: a Pi 4 decodes at 0.27 of a Pi 5's speed and
#: older ones slower still; an Orin Nano at 165 tokens a second. Chips that are not listed: by cores.
SLOTS_BY_CHIP = {
    "BCM2835": 1,
    "BCM2836": 1,
    "BCM2837": 2,
    "BCM2711": 4,
    "BCM2712": 4,
    "Tegra210": 4,
    "Tegra186": 4,
    "Tegra194": 8,
    "Tegra234": 8,
    "Tegra264": 16,
}
SLOTS_AGX = 16


class Overrides(Struct, frozen=True, kw_only=True):
    """The owner's own values; None = recommend."""

    workers: int | None = None
    decode_threads: int | None = None
    prefill_threads: int | None = None
    slots: int | None = None
    context: int | None = None
    memory_budget: int | None = None
    gpu_layers: int | None = None

    @classmethod
    def of(cls, settings: InferenceSettings) -> Overrides:
        values = {name: getattr(settings, name) for name in cls.__struct_fields__}
        return cls(**{name: value for name, value in values.items() if value != "auto"})


NO_OVERRIDES = Overrides()


class Recommendation(Struct, frozen=True, kw_only=True):
    """`context`: tokens a slot. `memory_budget`: bytes for all workers. `memory`: bytes of one worker."""

    workers: int
    decode_threads: int
    prefill_threads: int
    slots: int
    context: int
    memory_budget: int
    gpu_layers: int
    memory: int
    reasons: tuple[Reasoned, ...]


def recommend(
    profile: HardwareProfile, facts: ModelFacts = DEFAULT_MODEL, overrides: Overrides = NO_OVERRIDES
) -> Recommendation:
    """Overrides win over everything but memory. Raises DoesNotFit (detail: need, have, slots, context)."""
    reasons: dict[str, str] = {}

    def settle(name: str, override: int | None, value: int, why: str) -> int:
        reasons[name] = why if override is None else SET
        return value if override is None else override

    cpu = profile.cpu
    alone = "one process already uses every core; a second would fight it for them"
    workers = settle("workers", overrides.workers, 1, alone)
    share = max(1, cpu.threads // workers)
    decode = settle("decode_threads", overrides.decode_threads, *decode_threads(cpu, share))
    prefill = settle("prefill_threads", overrides.prefill_threads, *prefill_threads(cpu, share))
    budget = settle("memory_budget", overrides.memory_budget, *memory_budget(profile.memory))
    wanted, why_slots = wanted_slots(profile.board, cpu, facts)
    ladder = tuple(count for count in SLOTS if count <= wanted)
    contexts = contexts_up_to(facts)
    asked = next((name for name in ("slots", "context") if getattr(overrides, name) is not None), None)
    slots, context = fit(
        facts,
        budget // workers,
        ladder if overrides.slots is None else (overrides.slots,),
        contexts if overrides.context is None else (overrides.context,),
        asked and f"inference.{asked}",
    )
    need = estimate(facts, slots, context)
    if slots < wanted:
        why_slots = f"{wanted} would suit the processor, but {human(budget // workers)} of memory hold only {slots}"
    settle("slots", overrides.slots, slots, why_slots)
    more = estimate(facts, slots, contexts[0]).pinned
    settle("context", overrides.context, context, _why_context(context, contexts[0], need.kv, more))
    if overrides.context is not None and context > facts.context_train:
        reasons["context"] += f"; the model was trained for {facts.context_train} tokens only"
    gpu_layers = settle("gpu_layers", overrides.gpu_layers, *_gpu_layers(profile, facts))
    usable = profile.memory.usable
    if overrides.memory_budget is not None and usable is not None and budget > usable:
        reasons["memory_budget"] += f", though there are only {human(usable)}"
    reasons["memory_budget"] += f"; this model takes {human(need.pinned)}"
    values = {
        "workers": workers,
        "decode_threads": decode,
        "prefill_threads": prefill,
        "slots": slots,
        "context": context,
        "memory_budget": budget,
        "gpu_layers": gpu_layers,
    }
    shown = {**values, "memory_budget": human(budget)}
    return Recommendation(
        **values,
        memory=need.pinned,
        reasons=tuple(Reasoned(name, str(shown[name]), reasons[name]) for name in values),
    )


def decode_threads(cpu: Cpu, share: int) -> tuple[int, str]:
    """(threads, why) of one worker that has `share` cores."""
    cores = f"{share} core{'s' if share > 1 else ''}{_limits(cpu)}"
    if share > MAX_DECODE_THREADS:
        return MAX_DECODE_THREADS, f"{cores}: more than {MAX_DECODE_THREADS} threads would mostly wait for each other"
    if share > 2:
        return share - 1, f"{cores}: one stays free for requests and the system"
    return share, f"{cores}: too few to leave one free"


def prefill_threads(cpu: Cpu, share: int) -> tuple[int, str]:
    if share == 1:
        return 1, f"1 core{_limits(cpu)}"
    return share, f"reading a prompt is pure computing: all {share} cores{_limits(cpu)} help"


def _limits(cpu: Cpu) -> str:
    """Why fewer cores than the board has may be used."""
    if cpu.quota is not None and cpu.quota < cpu.usable:
        return f" (limited to {cpu.quota:g} of {cpu.usable} CPUs)"
    if cpu.efficiency:
        return f" ({cpu.efficiency} small ones left out, they would slow the others)"
    if cpu.online > cpu.physical:
        return f" ({cpu.online} hardware threads share them)"
    if cpu.usable < cpu.physical:
        return f" (of {cpu.physical}; the others are not allowed to this service)"
    return ""


def wanted_slots(board: Board, cpu: Cpu, facts: ModelFacts) -> tuple[int, str]:
    """(slots, why) if memory were no matter."""
    if board.family is Family.JETSON and "AGX" in board.name:
        wanted, why = SLOTS_AGX, f"an AGX module keeps {SLOTS_AGX} conversations at once readable"
    elif board.chip in SLOTS_BY_CHIP:
        wanted = SLOTS_BY_CHIP[board.chip]
        why = f"a {board.chip} keeps {wanted} conversation{'s' if wanted > 1 else ''} at once readable"
    else:
        wanted = 4 if cpu.threads == 1 else 16 if cpu.threads >= 12 else 8
        why = f"{cpu.threads} core{'s keep' if cpu.threads > 1 else ' keeps'} {wanted} conversations at once readable"
    batches = facts.repacks and cpu.has_gemm
    if wanted > 4 and not batches:
        return 4, "this processor has no kernels for batches of this quantization: more would slow each other down"
    if wanted >= 4 and batches:
        why += ", and the kernels compute 4 in one go"
    return wanted, why


def _why_context(context: int, best: int, kv: int, more: int) -> str:
    if context < best:
        return f"the longest that fits: with {best} tokens a slot the model would need {human(more)}"
    if context < TARGET_CONTEXT:
        return f"all the model was trained for; all slots together take {human(kv)}"
    return f"what Home Assistant asks for; all slots together take {human(kv)}"


def _gpu_layers(profile: HardwareProfile, facts: ModelFacts) -> tuple[int, str]:
    if profile.gpu is None:
        return 0, "no graphics processor that llama.cpp can use"
    if profile.board.family is Family.JETSON:
        layers = facts.layers + 1  # llama.cpp counts the output as one more
        return layers, f"all {layers}: the Jetson's GPU shares the memory (a library built without CUDA ignores this)"
    return 0, f"{profile.gpu.name} graphics found; its memory is not known, so set inference.gpu_layers to use it"
