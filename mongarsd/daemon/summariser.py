"""Long texts to short ones, by the default chat model, while nobody uses the node."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import aclosing

from mongarsd.ground.errors import Busy, DeadlineExceeded, MongarsError, from_info
from mongarsd.ground.job import Delta, Failed, Finished, FinishReason, Job, Message, Priority
from mongarsd.ground.sampling import Sampling
from mongarsd.inference.pool.pool import Pool
from mongarsd.memory.summaries.types import Written

#: Seconds a summary may take: a slow board reads 2000 tokens in two minutes.
PATIENCE = 600.0
_ORDER = (
    "Summarize the conversation below in a few sentences, for somebody who goes on with it: names, facts, wishes, "
    "decisions and open questions. Keep what is told as earlier. Write nothing but the summary, in the language of the "
    "conversation."
)


class Summariser:
    def __init__(self, pool: Pool, model: Callable[[], str]) -> None:
        """`model`: digest of the default chat model, "" while there is none."""
        self._pool, self._model = pool, model

    def context(self) -> int:
        """Tokens; 0 while the model is not loaded, or anybody uses any."""
        workers, digest = self._pool.status(), self._model()
        if self._pool.waiting or any(worker.busy_slots or worker.queued for worker in workers):
            return 0
        return next((one.context for one in workers if one.digest == digest and one.state == "ready"), 0)

    async def __call__(self, text: str, tokens: int) -> Written:
        """Raises MongarsError."""
        job = Job(
            id=secrets.token_hex(16),
            model=self._model(),
            messages=(Message(role="system", content=_ORDER), Message(role="user", content=text)),
            template_args={"enable_thinking": False},
            sampling=Sampling(temperature=0.0),
            max_tokens=tokens,
            cache_prompt=False,  # it never comes again, and what is deleted must not stay in the cache
            priority=Priority.BATCH,
            deadline=PATIENCE,
        )
        pieces: list[str] = []
        async with aclosing(self._pool.run(job)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    pieces.append(event.text)
                elif isinstance(event, Failed):
                    raise from_info(event.error)
                elif isinstance(event, Finished):
                    return Written("".join(pieces).strip(), job.model, _used(event))
        raise MongarsError("the job ended without a result")


def _used(end: Finished) -> int:
    """Raises DeadlineExceeded, Busy."""
    if end.reason is FinishReason.DEADLINE:
        raise DeadlineExceeded("the time for a summary was up")
    if end.reason is FinishReason.CANCELLED:
        raise Busy("the job was stopped: its model is being unloaded", retry_after=5.0)
    return end.usage.completion
