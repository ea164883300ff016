"""What one rendering of a chat template may use: time, and text made.

Everything that makes a value asks here first or at once, so a template can neither run on nor fill the memory, and no
single step (one loop turn, call, filter or operator) handles more than a value of bounded size. That works in any
thread and in the same way on every board; a signal reaches only the main thread, a tracing hook costs ten times more.
"""

from __future__ import annotations

from collections.abc import Collection
from math import inf
from time import monotonic, thread_time
from typing import Any, TypeVar

T = TypeVar("T")

_ROWS: tuple[type[Collection[object]], ...] = (
    *(dict, list, tuple, set, frozenset),
    *(type({}.keys()), type({}.values()), type({}.items())),
)
CELL = 8  # what a thing weighs beside its characters: a pointer
#: One value: 1 M characters is twice a context of 128 k tokens; more for a larger request, because templates quote it.
VALUE, VALUE_PER = 1 << 20, 16
#: All values together. Templates that append message by message copy what they have: n²/2 messages, so 512 × for 1,000.
TOTAL, TOTAL_PER = 1 << 26, 512


class Overrun(Exception):
    """The template does more than a chat template needs to."""


def weigh(value: object, limit: float = inf) -> int:
    """Characters of `value` written out in full, and `CELL` for each thing in it. Raises Overrun beyond `limit`.

    Shared parts count each time: ten nested `[x, x]` are 1,024 x, and take as long to compare or to print.
    """
    weight, stack = 0, [value]
    while stack:
        item = stack.pop()
        weight += CELL
        if isinstance(item, str):
            weight += len(item)
        elif isinstance(item, dict):
            stack.extend(item)
            stack.extend(item.values())
        elif isinstance(item, _ROWS):
            stack.extend(item)
        if weight + CELL * len(stack) > limit:
            raise Overrun("makes a value that is too large")
    return weight


class Budget:
    """For one rendering of a request of `size` (its weight); `seconds` of computing from now, in this thread.

    Time in which others had the processor does not count: a crowded board must not refuse an honest template.
    """

    def __init__(self, seconds: float, size: int = 0) -> None:
        self._seconds = seconds
        self._earliest = monotonic() + seconds
        self._deadline = thread_time() + seconds
        self._value = VALUE + VALUE_PER * size
        self._left = TOTAL + TOTAL_PER * size

    def tick(self) -> None:
        """A step begins."""
        if monotonic() > self._earliest and thread_time() > self._deadline:  # the second is a system call
            raise Overrun(f"was not done after {self._seconds:g} s")

    def fits(self, size: int) -> None:
        """A value of this weight is about to be made."""
        if size > self._value:
            raise Overrun("makes a value that is too large")

    def take(self, size: int) -> None:
        """Memory of this size was used."""
        self._left -= size
        if self._left < 0:
            raise Overrun("makes too much text")

    def weigh(self, value: object) -> int:
        return weigh(value, self._value)

    def made(self, value: T) -> T:
        """The value was made: charge for it."""
        if isinstance(value, str):
            self.fits(len(value))
            self.take(len(value))
        elif isinstance(value, _ROWS):
            self.weigh(value)
            self.take(CELL * (len(value) + CELL))
        return value

    def repeats(self, value: Any, times: int) -> None:
        """`value`, a string or a container, is about to be repeated."""
        if isinstance(value, Collection):
            self.fits(self.weigh(value) * max(times, 0))
