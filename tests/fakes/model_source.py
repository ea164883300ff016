"""A source in memory, which a test can stop in the middle."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

from mongarsd.inference.models.sources.base import Offer, Sink, Source


@dataclass
class FakeSource(Source):
    body: bytes
    ref: str = "hf:org/repo/model.gguf"
    file: str = "model.gguf"
    immutable: bool = False
    remote: bool = True
    states_hash: bool = True
    resumable: bool = True
    error: Exception | None = None  # raised by offer
    breaks: list[tuple[int, Exception]] = field(default_factory=list)  # (after so many bytes, what is raised)
    gate: asyncio.Event | None = None  # fetch waits here after half the bytes
    offers: int = 0
    sent: int = 0  # bytes, over all fetches
    piece: int = 64

    async def offer(self) -> Offer:
        self.offers += 1
        if self.error:
            raise self.error
        sha256 = hashlib.sha256(self.body).hexdigest() if self.states_hash else None
        return Offer(identity=self.ref, size=len(self.body), sha256=sha256, resumable=self.resumable)

    async def fetch(self, offer: Offer, sink: Sink) -> None:
        have = await sink.begin(offer.size)
        if not self.resumable:
            await sink.restart()
            have = 0
        limit, error = self.breaks.pop(0) if self.breaks else (None, None)
        for start in range(have, len(self.body), self.piece):
            if limit is not None and start - have >= limit:
                assert error is not None
                raise error
            if self.gate and start >= len(self.body) // 2:
                await self.gate.wait()
            piece = self.body[start : start + self.piece]
            self.sent += len(piece)
            await sink.write(piece)
            await asyncio.sleep(0)
