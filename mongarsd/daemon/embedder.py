"""Texts to vectors for the other rooms of this node, over whatever executor there is."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from mongarsd.api.openai.embeddings import embed, split
from mongarsd.ground.executor import Executor
from mongarsd.ground.job import Job, Priority


class Embedder:
    """`await embedder(texts)` gives one vector of little-endian float32 for each text, of length 1."""

    def __init__(self, executor: Executor, model: Callable[[], str]) -> None:
        """`model`: name or digest, asked each time, so that a reload counts. ModelNotFound until it is installed."""
        self._executor, self._model = executor, model

    async def __call__(self, texts: Sequence[str], *, priority: Priority = Priority.BATCH) -> list[bytes]:
        """Raises MongarsError: ModelNotFound, Busy, DoesNotFit."""
        if not texts:
            return []
        job = Job(id=secrets.token_hex(16), model=self._model(), embed=tuple(texts), priority=priority)
        found, _ = await embed(self._executor, job)
        return split(found)
