"""Cells of sequences that cannot be cut anywhere: recurrent ones, and those with a sliding window."""

from __future__ import annotations

from collections.abc import Sequence

from mongarsd.inference.engine.cells import Cells, Placement


class UncutCells(Cells):
    """Each slot has a floor, the least tokens it can be cut to beside none.

    A recurrent state (`cuts` false) is of use where it ends and nowhere else, and only at rest: a working slot is past
    what it has published. A sliding window that was computed here is whole; a restored one begins where it was saved.
    """

    def __init__(self, slots: int, *, cuts: bool) -> None:
        super().__init__(slots)
        self.shares = cuts
        self._floors = [0] * slots

    def take(
        self, prompt: Sequence[int], *, reuse: bool = True, stored: int = 0, adapter: str = ""
    ) -> Placement | None:
        placement = super().take(prompt, reuse=reuse, stored=stored, adapter=adapter)
        if placement:
            origin = placement.slot if placement.source is None else placement.source
            floor = self._floors[origin] if placement.cached else 0
            self._floors[placement.slot] = placement.cached if placement.restored else floor
        return placement

    def publish(self, slot: int, tokens: Sequence[int]) -> None:
        if not tokens:
            self._floors[slot] = 0
        super().publish(slot, tokens)

    def _match(self, prompt: Sequence[int], adapter: str) -> tuple[int, frozenset[int]]:
        given = {slot: self._own(slot, prompt, adapter) for slot in range(len(self._slots))}
        most = max(given.values())
        return most, frozenset(slot for slot, count in given.items() if count == most > 0)

    def _own(self, slot: int, prompt: Sequence[int], adapter: str) -> int:
        count = min(super()._own(slot, prompt, adapter), len(prompt) - 1)
        if not self.shares:
            return count if count == len(self.path(slot)) and not self._slots[slot].busy else 0
        return count if count >= self._floors[slot] else 0
