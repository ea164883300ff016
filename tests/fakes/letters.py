"""An embedder without a model: a text's vector is how often it has each letter. It says what it was asked."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from mongarsd.ground.errors import MongarsError
from mongarsd.ground.job import Priority


class Letters:
    """`dimensions` of 26 and more: each letter counts, later ones less. `fail` is raised instead."""

    def __init__(self, dimensions: int = 64) -> None:
        self.dimensions = dimensions
        self.name = f"sha256:letters{dimensions}"
        self.asked: list[tuple[int, Priority]] = []
        self.fail: MongarsError | None = None
        self.refuses = ""  # a text that it fails with

    def model(self) -> str:
        return self.name

    async def __call__(self, texts: Sequence[str], *, priority: Priority = Priority.BATCH) -> list[bytes]:
        self.asked.append((len(texts), priority))
        if self.fail or (self.refuses and any(self.refuses in text for text in texts)):
            raise self.fail or MongarsError("the worker crashed")
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> bytes:
        counts = [0.01] * self.dimensions
        for place, letter in enumerate(text.lower()):
            counts[ord(letter) * 7 % self.dimensions] += 1 + 1 / (place + 1)
        middle = sum(counts) / len(counts)
        counts = [count - middle for count in counts]
        length = math.hypot(*counts) or 1.0
        return struct.pack(f"<{self.dimensions}f", *(count / length for count in counts))
