"""What a context cannot hold is dropped from the beginning of the conversation, for clients that want it so."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate

from msgspec import structs

from mongarsd.api.openai.run import follow
from mongarsd.api.parts import Parts
from mongarsd.ground.errors import ContextOverflow
from mongarsd.ground.job import Delta, Finished, Job, Message

#: Of the context, for the prompt; the rest is for the answer.
ROOM = 0.75
#: Questions are dropped in steps of so many, so that the next few prompts begin alike and come from the cache.
STEP = 4

#: (messages, tokens of their prompt, tokens that it should have had) -> fewer messages, or None = nothing more can go.
Shorten = Callable[[Sequence[Message], int, int], tuple[Message, ...] | None]
#: The same for a whole job.
Change = Callable[[Job, int, int], Job | None]


async def follow_shortened(
    parts: Parts, job: Job, deliver: Callable[[Delta], Awaitable[None]], shorten: Shorten | None = None
) -> Finished:
    """As `follow`, with as many of the newest questions as fit. Raises ContextOverflow when not even the last does."""
    shorten = shorten or shortened

    def change(job: Job, prompt: int, limit: int) -> Job | None:
        messages = shorten(job.messages or (), prompt, limit)
        return structs.replace(job, messages=messages) if messages else None

    return await follow_changed(parts, job, deliver, change)


async def follow_changed(
    parts: Parts, job: Job, deliver: Callable[[Delta], Awaitable[None]], change: Change
) -> Finished:
    """As `follow`, with a job that is changed until it fits. Raises ContextOverflow when nothing is left to change."""
    while True:
        try:
            return await follow(parts, job, deliver)
        except ContextOverflow as error:
            shorter = change(job, error.detail["prompt"], error.detail["limit"])
            if shorter is None:
                raise
            job = structs.replace(shorter, id=secrets.token_hex(16))


def shortened(messages: Sequence[Message], prompt: int, limit: int) -> tuple[Message, ...] | None:
    """Fewer messages, for a prompt of `prompt` tokens that should have had `limit`: without the oldest questions and
    what followed them. System messages and the last question stay. None = nothing more can go. Pure."""
    lead = next((i for i, one in enumerate(messages) if one.role != "system"), len(messages))
    questions = [i for i in range(lead, len(messages)) if messages[i].role == "user"][1:]
    if not questions:
        return None
    sizes = [size(one) for one in messages]
    wanted = (total := sum(sizes)) * ROOM * limit / max(prompt, 1)
    gone = [0, *accumulate(0 if one.role == "system" else size for one, size in zip(messages, sizes, strict=True))]
    places = [*questions[STEP - 1 :: STEP], questions[-1]]
    start = next((i for i in places if total - gone[i] <= wanted), questions[-1])
    return (*(one for one in messages[:start] if one.role == "system"), *messages[start:])


def size(message: Message) -> int:
    """Characters, about; a message's frame counts too."""
    return len(message.content) + len(message.reasoning or "") + len(str(message.tool_calls)) + 8
