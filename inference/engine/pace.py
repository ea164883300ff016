"""How many prompt tokens a step may carry, so that running streams never wait longer than their bound.

Measured (SmolLM2-135M, two cores): 512 tokens take 1.0 to 1.4 s, which is a stutter; 64 beside
four streams about 0.25 s.
The bound costs prefill speed, so the chunk is as large as the bound allows, and grows when nobody is decoding.
"""

from __future__ import annotations

BLOCK = 4  # rows that a CPU GEMM kernel computes at once
SMALLEST = 4 * BLOCK
FIRST = 64  # before anything was measured
MARGIN = 0.85  # of the bound is aimed at: steps vary
ALONE = 0.75  # seconds a step may take while nobody is decoding: newcomers and cancellations wait for it
GROWTH = 2  # a chunk is at most this many times the largest one tried: small ones say little of large ones


class Rate:
    """Seconds a unit, smoothed towards the recent: attention makes later chunks of a prompt slower."""

    def __init__(self, weight: float = 0.4) -> None:
        self._weight = weight
        self.value: float | None = None

    def add(self, value: float) -> None:
        value = max(value, 1e-9)  # it is divided by
        self.value = value if self.value is None else self.value + self._weight * (value - self.value)


class Pacer:
    def __init__(self, *, max_gap: float, batch: int) -> None:
        self._max_gap = max_gap
        self._batch = batch
        self._decode = Rate()  # seconds a step without prefill
        self._beside = Rate()  # seconds a prompt token, beside running streams
        self._alone = Rate()  # seconds a prompt token, with the board to itself
        self._tried = {True: FIRST // GROWTH, False: FIRST // GROWTH}  # largest chunk, beside running streams or alone

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens a second, 0 when nothing was measured."""
        seconds = self._alone.value or self._beside.value
        return 1 / seconds if seconds else 0.0

    @property
    def decode_step(self) -> float:
        """Seconds of a step that only decodes, 0 when nothing was measured."""
        return self._decode.value or 0.0

    def chunk(self, decoding: int) -> int:
        """Prompt tokens for a step that also decodes `decoding` rows; the sum is whole blocks of rows."""
        room = self._batch - decoding
        if decoding:
            wanted = self._fit(self._max_gap * MARGIN - self.decode_step, self._beside.value or self._alone.value)
        else:
            wanted = self._fit(ALONE, self._alone.value or self._beside.value)
        tokens = max(SMALLEST, min(wanted, self._tried[decoding > 0] * GROWTH, room))
        return tokens - (tokens + decoding) % BLOCK

    def observe(self, *, decoding: int, prefill: int, seconds: float) -> None:
        if not prefill:
            self._decode.add(seconds)
            return
        self._tried[decoding > 0] = max(prefill, self._tried[decoding > 0])
        if decoding:
            self._beside.add(max(seconds - self.decode_step, seconds / 10) / prefill)
        elif prefill >= SMALLEST:  # the last few tokens of a prompt say little
            self._alone.add(seconds / prefill)

    def _fit(self, seconds: float, each: float | None) -> int:
        return FIRST if each is None else int(max(seconds, 0.0) / each)
