"""How many prompt tokens a step may carry, so that running streams never wait longer than their bound.

Measured (SmolLM2-135M, two cores): 512 tokens take 1.0 to 1.4 s, which is a stutter; 64 of them 0.07 s at the front of
a prompt and 0.21 s behind 1,400 tokens, because attention looks at all of those. So the cost of a token is learned as
a line over its position, for each kind of row, and the chunk is the largest whose time fits the bound.
"""

from __future__ import annotations

from mongarsd.inference.engine.portions import TILE

LARGEST = 512  # tokens: llama.cpp's micro-batch; more at once gains nothing
SMALLEST = 16  # four blocks of the rows that a CPU GEMM kernel computes at once
SMALL = (48, 32, SMALLEST)  # for a board too slow for a tile
FIRST = TILE  # before anything was measured
MARGIN = 0.9  # of the bound is aimed at: steps vary
ALONE = 1.0  # seconds a step may take while nobody is decoding: newcomers and cancellations wait for it
LAST_TILE = 4.0  # seconds that one whole tile may take then: its parts cost up to twice as much a token (measured)
GAIN = 0.8  # cost of a token in the next larger kind of row, until that was tried (measured: 0.75 to 0.85)


class Rate:
    """A value smoothed towards the recent."""

    def __init__(self, weight: float = 0.4) -> None:
        self._weight = weight
        self.value: float | None = None

    def add(self, value: float) -> None:
        value = max(value, 1e-9)  # it is divided by
        self.value = value if self.value is None else self.value + self._weight * (value - self.value)


class Line:
    """A straight line through recent points: least squares, each older point counting a tenth less."""

    KEEP = 0.9

    def __init__(self) -> None:
        self._n = self._x = self._y = self._xx = self._xy = 0.0

    def __bool__(self) -> bool:
        return self._n > 0

    def add(self, x: float, y: float) -> None:
        self._n, self._x, self._y, self._xx, self._xy = (
            self.KEEP * old + new
            for old, new in zip((self._n, self._x, self._y, self._xx, self._xy), (1.0, x, y, x * x, x * y), strict=True)
        )

    def at(self, x: float) -> float:
        """The line's value; it never falls towards larger x."""
        mean_x, mean_y = self._x / self._n, self._y / self._n
        spread = self._xx / self._n - mean_x * mean_x
        slope = max((self._xy / self._n - mean_x * mean_y) / spread, 0.0) if spread > 1.0 else 0.0
        return max(mean_y + slope * (x - mean_x), mean_y / 10)


def kind(tokens: int) -> int:
    """Rows below a tile, of one tile, of more: each costs less a token than the one before."""
    return min(tokens // TILE, 2)


class Pacer:
    def __init__(self, *, max_gap: float, batch: int) -> None:
        self._max_gap = max_gap
        self._largest = min(LARGEST, batch)
        self._decode = Rate()  # seconds of a step without prefill
        self._each = (Line(), Line(), Line())  # seconds a prompt token over its position, by kind of row
        self._recent = Rate()  # the same, whatever the kind

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens a second, 0 when nothing was measured."""
        return 1 / self._recent.value if self._recent.value else 0.0

    @property
    def decode_step(self) -> float:
        """Seconds of a step that only decodes, 0 when nothing was measured."""
        return self._decode.value or 0.0

    def chunk(self, decoding: int, position: int = 0) -> int:
        """Prompt tokens for a step that also decodes `decoding` rows, from `position` on."""
        if not any(self._each):
            return min(FIRST, self._largest)
        bound = self._max_gap * MARGIN - self.decode_step if decoding else ALONE
        tile_bound = bound if decoding else LAST_TILE
        sizes: list[int] = [*range(self._largest // TILE * TILE, 0, -TILE), *SMALL]
        for tokens in sizes:
            seconds = tokens * self._cost(kind(tokens), position + tokens / 2)
            if seconds <= (tile_bound if tokens == TILE else bound):
                return tokens
        return SMALLEST

    def observe(self, *, decoding: int, prefill: int, seconds: float, widest: int = 0, position: int = 0) -> None:
        """A step took `seconds`. `widest`: tokens of its widest prompt row; `position`: where that began."""
        if not prefill:
            self._decode.add(seconds)
            return
        if decoding:
            seconds = max(seconds - self.decode_step, seconds / 10)
        each = max(seconds / prefill, 1e-9)
        if widest >= SMALLEST:  # the last few tokens of a prompt say little
            self._each[kind(widest)].add(position + widest / 2, each)
            self._recent.add(each)

    def _cost(self, wanted: int, position: float) -> float:
        """Seconds a token in that kind of row; guessed from the nearest kind that was measured."""
        nearest = min((k for k, line in enumerate(self._each) if line), key=lambda k: abs(k - wanted))
        return self._each[nearest].at(position) * GAIN ** (wanted - nearest)
