"""Jobs through the executor: every way out closes the iterator, so a client that is gone frees its slots at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar, cast

from mongarsd.api.parts import Parts
from mongarsd.ground.errors import Busy, ContextOverflow, DeadlineExceeded, MongarsError, from_info
from mongarsd.ground.job import Delta, Event, Failed, Finished, FinishReason, Job, Started

T = TypeVar("T")


async def follow(
    parts: Parts,
    job: Job,
    deliver: Callable[[Delta], Awaitable[None]],
    started: Callable[[Started], Awaitable[None]] | None = None,
) -> Finished:
    """Run `job`, hand on its first Started and each delta, wait until it is taken, return the end. Raises MongarsError
    when it fails."""
    begin = parts.clock.monotonic()
    waiting = True
    try:
        async with aclosing(cast(AsyncGenerator[Event, None], parts.metered.run(job))) as events:
            async for event in events:
                if type(event) is Delta:
                    if waiting:
                        waiting = False
                        parts.http.first_token.observe(parts.clock.monotonic() - begin)
                    await deliver(event)
                elif type(event) is Started:
                    if started and not event.restarted:
                        await started(event)
                elif type(event) is Finished:
                    return _ended(event)
                elif type(event) is Failed:
                    raise from_info(event.error)
    except ContextOverflow as error:
        error.param = error.param or ("prompt" if job.messages is None else "messages")
        raise
    raise MongarsError("the job ended without an answer")


def _ended(event: Finished) -> Finished:
    if event.reason is FinishReason.CANCELLED:
        raise Busy("the job was stopped: its model is being unloaded, or this node is going down", retry_after=5.0)
    if event.reason is FinishReason.DEADLINE:
        raise DeadlineExceeded("the time for this job was up")
    return event


async def together(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All at the same time; the first failure cancels the others and is raised.

    Each has a task of its own, a single one too: resuming it for a token touches three frames instead of the
    handler's and all middlewares' fifteen, which have gone cold since the last step.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work, name=f"api.choice.{i}") for i, work in enumerate(works)]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
