"""Which KV sequence (slot) holds which tokens, and where a new prompt is best placed. Pure bookkeeping.

Each slot has cells of its own (split KV: 1.1 to 1.4 times faster in a mixed load than one pool that every row scans).
A slot keeps its tokens after its job has ended, until somebody needs it: that is the prefix cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mongarsd.inference.engine.radix import RadixTree, common

#: Copying moves a slot's whole buffer (split KV), about the time of a few dozen prefilled tokens.
MIN_COPY = 32
#: A tail shorter than this is not worth another slot.
MIN_TAIL = 64


class Placement(NamedTuple):
    slot: int
    cached: int  # tokens of the prompt that are there already
    source: int | None = None  # copy this slot first, then cut to `cached`
    restored: bool = False  # fill the slot with the `cached` tokens of a tier behind the cells


@dataclass
class Slot:
    busy: bool = False
    adapter: str = ""  # of its last job
    used: float = field(default=float("-inf"))  # when its last job ended


class Cells:
    #: May a slot be copied from while it works?
    shares = True

    def __init__(self, slots: int) -> None:
        self._slots = [Slot() for _ in range(slots)]
        self._tree = RadixTree()

    @property
    def free(self) -> int:
        return sum(not slot.busy for slot in self._slots)

    @property
    def held(self) -> int:
        """Tokens that idle slots keep for reuse."""
        return sum(len(self._tree.path(i)) for i, slot in enumerate(self._slots) if not slot.busy)

    def cached(self, prompt: Sequence[int], adapter: str = "") -> int:
        """Tokens of the prompt that `take` would find. The last one is always computed: it gives the first logits."""
        return min(self._match(prompt, adapter)[0], len(prompt) - 1)

    def path(self, slot: int) -> list[int]:
        """The tokens a slot holds."""
        return self._tree.path(slot)

    def adapter(self, slot: int) -> str:
        """What a slot's tokens were computed with."""
        return self._tree.adapter(slot)

    def forget(self) -> list[int]:
        """The idle slots: they hold nothing any more."""
        idle = [i for i, slot in enumerate(self._slots) if not slot.busy]
        for i in idle:
            self._tree.remove(i)
        return idle

    def take(
        self, prompt: Sequence[int], *, reuse: bool = True, stored: int = 0, adapter: str = ""
    ) -> Placement | None:
        """Occupy the slot where the prompt needs the least computing; None if all are busy.

        `stored`: tokens of the prompt that could be restored; taken if they are at least MIN_TAIL more than the cells'.
        """
        idle = [i for i, slot in enumerate(self._slots) if not slot.busy]
        if not idle:
            return None
        if reuse and stored >= self.cached(prompt, adapter) + MIN_TAIL:
            placement = Placement(self._victim(idle), stored, restored=True)
        else:
            placement = self._place(prompt, adapter, idle) if reuse else Placement(self._victim(idle), 0)
        self._slots[placement.slot].busy = True
        self._slots[placement.slot].adapter = adapter
        self._tree.set(placement.slot, prompt[: placement.cached], adapter)
        return placement

    def publish(self, slot: int, tokens: Sequence[int]) -> None:
        """The slot now holds `tokens`: others may copy from it while it works."""
        self._tree.set(slot, tokens, self._slots[slot].adapter)

    def release(self, slot: int, tokens: Sequence[int], now: float) -> None:
        """The job has ended and left `tokens` in the slot."""
        self._tree.set(slot, tokens, self._slots[slot].adapter)
        self._slots[slot].busy = False
        self._slots[slot].used = now

    def _place(self, prompt: Sequence[int], adapter: str, idle: list[int]) -> Placement:
        match, holders = self._match(prompt, adapter)
        match = min(match, len(prompt) - 1)
        victim = self._victim(idle)
        at_hand = [i for i in idle if i in holders]
        if match and at_hand:
            nearest = min(at_hand, key=lambda i: len(self._tree.path(i)))
            if len(self._tree.path(nearest)) - match < MIN_TAIL:
                return Placement(nearest, match)
        if match >= MIN_COPY and victim not in holders:
            return Placement(victim, match, source=min(holders))  # whose conversation goes on from there keeps it
        return Placement(victim, min(self._own(victim, prompt, adapter), match))

    def _match(self, prompt: Sequence[int], adapter: str) -> tuple[int, frozenset[int]]:
        """The most tokens of the prompt that a slot can give, and all slots that can."""
        return self._tree.match(prompt, adapter)

    def _own(self, slot: int, prompt: Sequence[int], adapter: str) -> int:
        """Tokens of the prompt that this slot has."""
        return common(prompt, self._tree.path(slot)) if self._tree.adapter(slot) == adapter else 0

    def _victim(self, idle: list[int]) -> int:
        """An empty slot, else the least recently used; if there is a choice, beside a busy one.

        llama.cpp computes runs of consecutive sequences together; a gap costs another pass over the weights.
        """
        busy = {i for i, slot in enumerate(self._slots) if slot.busy}

        def order(i: int) -> tuple[bool, bool, float, int]:
            return bool(self._tree.path(i)), bool(busy) and not busy & {i - 1, i + 1}, self._slots[i].used, i

        return min(idle, key=order)
