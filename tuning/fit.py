"""Memory budget, and the slots and context that fit into it. Pure: numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Iterator

from mongarsd.ground.errors import DoesNotFit
from mongarsd.tuning.estimate import MIB, ModelFacts, estimate_memory
from mongarsd.tuning.memory import Memory
from mongarsd.tuning.profile import human

#: CPU matrix kernels work in blocks of 4 rows, so 4, 8 and 16 sequences waste none; 2 and 1 are for small boards.
SLOTS = (16, 8, 4, 2, 1)
#: Home Assistant asks for num_ctx 8192 by default (homeassistant/components/ollama).
TARGET_CONTEXT = 8192
CONTEXTS = (8192, 4096, 2048, 1024, 512)
#: Fewer slots are better than conversations shorter than this.
COMFORTABLE = 4096
#: Left for the daemon (50 MB), the system and sudden needs.
RESERVE_SHARE, RESERVE_LEAST, RESERVE_MOST = 16, 64 * MIB, 512 * MIB
#: Of the whole memory at most this much is for models: the rest is file cache and other programs.
SHARE = 0.75
#: When /proc/meminfo says nothing: what the smallest supported board has.
UNKNOWN_MEMORY = 416 * MIB


def reserve(usable: int) -> int:
    return min(RESERVE_MOST, max(RESERVE_LEAST, usable // RESERVE_SHARE))


def memory_budget(memory: Memory) -> tuple[int, str]:
    """(bytes for all workers, why). Grows with the memory and never passes what is free now."""
    usable = memory.usable
    if usable is None:
        least = min(UNKNOWN_MEMORY, UNKNOWN_MEMORY if memory.available is None else memory.available)
        budget = max(0, least - reserve(UNKNOWN_MEMORY))
        return budget, f"the kernel does not say how much memory there is: {human(least)} are assumed"
    kept = reserve(usable)
    share = int(usable * SHARE)
    limited = memory.limit is not None and memory.total is not None and memory.limit < memory.total
    whole = f"the {human(usable)} this service is limited to" if limited else f"{human(usable)} of memory"
    if memory.available is not None and memory.available - kept < share:
        return max(0, memory.available - kept), (
            f"{human(memory.available)} of {human(usable)} were free at start, and {human(kept)} stay free for the rest"
        )
    return share, f"three quarters of {whole}; the rest is for the system, its file cache and other programs"


def contexts_up_to(facts: ModelFacts) -> tuple[int, ...]:
    """Context sizes worth trying, best first: none beyond what the model was trained for."""
    most = min(TARGET_CONTEXT, facts.context_train)
    return tuple(size for size in CONTEXTS if size <= most) or (max(1, most),)


def choices(slots: tuple[int, ...], contexts: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """(slots, context) from best to least: first the context goes down to COMFORTABLE, then the slots, then the rest of
    the context. Every step gives up one and keeps the other, so more memory never means less of either."""
    comfortable = [size for size in contexts if size >= COMFORTABLE] or [contexts[0]]
    yield from ((slots[0], size) for size in comfortable)
    yield from ((count, comfortable[-1]) for count in slots[1:])
    yield from ((slots[-1], size) for size in contexts if size < comfortable[-1])


def fit(
    facts: ModelFacts, budget: int, slots: tuple[int, ...], contexts: tuple[int, ...], param: str | None = None
) -> tuple[int, int]:
    """The best (slots, context) within `budget` bytes. Both tuples descend; a fixed knob is a tuple of one.

    Raises DoesNotFit: detail need, have (bytes), and slots, context of the largest choice that would fit (0 = none).
    """
    for count, size in choices(slots, contexts):
        if estimate_memory(facts, count, size) <= budget:
            return count, size
    count, size = slots[-1], contexts[-1]
    need = estimate_memory(facts, count, size)
    says = f"{count} slot{'s' if count > 1 else ''} of {size} tokens need{'' if count > 1 else 's'} {human(need)}"
    other = largest(facts, budget, count, size)
    if other:
        remedy = f"{other[0]} slot{'s' if other[0] > 1 else ''} of {other[1]} tokens would fit"
    else:
        spare = max(0, budget - (estimate_memory(facts, 1, CONTEXTS[-1]) - facts.weights * 17 // 16)) * 16 // 17
        remedy = f"choose a model with a file of at most {human(spare)}" if spare else "free some memory"
    raise DoesNotFit(
        f"{says}, but only {human(budget)} may be used: {remedy}",
        param=param,
        need=need,
        have=budget,
        slots=other[0] if other else 0,
        context=other[1] if other else 0,
    )


def largest(facts: ModelFacts, budget: int, slots: int, context: int) -> tuple[int, int] | None:
    """The most cells that fit with at most `slots` and `context`; of equals the longer context."""
    fitting = (
        (count * size, size, count)
        for count in (slots, *SLOTS)
        for size in (context, *CONTEXTS)
        if count <= slots and size <= context and estimate_memory(facts, count, size) <= budget
    )
    best = max(fitting, default=None)
    return (best[2], best[1]) if best else None
