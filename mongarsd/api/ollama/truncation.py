"""What a context cannot hold is left out, as Ollama does it: the oldest messages, then the middle of the longest texts.

Ollama cuts the tokens of a finished prompt, and mostly loses the system message and what opens a message; here the
frame of the prompt stays whole. Of a raw prompt the end counts, because it is what the model continues.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from msgspec import structs

from mongarsd.api.openai.run import follow
from mongarsd.api.openai.truncation import ROOM, follow_changed, shortened, size
from mongarsd.api.parts import Parts
from mongarsd.ground.errors import ContextOverflow
from mongarsd.ground.job import Delta, Finished, Job, Message

#: Characters to which a text may be cut and not further; then the request is refused.
LEAST = 200
#: In the place of what was cut out of a message.
MARK = " […] "
#: Ollama's words, which its clients look for.
TOO_LONG = "the input length exceeds the context length"


async def follow_whole(parts: Parts, job: Job, deliver: Callable[[Delta], Awaitable[None]]) -> Finished:
    """As `follow`. Raises ContextOverflow in Ollama's words."""
    with too_long():
        return await follow(parts, job, deliver)


async def follow_cut(parts: Parts, job: Job, deliver: Callable[[Delta], Awaitable[None]]) -> Finished:
    """The same, with what fits of the prompt. Raises ContextOverflow when almost nothing does."""
    with too_long():
        return await follow_changed(parts, job, deliver, fitting)


@contextmanager
def too_long() -> Iterator[None]:
    """Say a ContextOverflow in Ollama's words."""
    try:
        yield
    except ContextOverflow as error:
        raise ContextOverflow(f"{TOO_LONG}: {error.message}", param=error.param, **error.detail) from None


def fitting(job: Job, prompt: int, limit: int) -> Job | None:
    """The job with a shorter prompt than the one of `prompt` tokens that should have had `limit`. None = nothing more
    can go. Pure."""
    if job.messages is not None:
        messages = shortened(job.messages, prompt, limit) or cut(job.messages, prompt, limit)
        return structs.replace(job, messages=messages) if messages else None
    if job.text is None or len(job.text) <= LEAST:
        return None
    keep = max(int(len(job.text) * ROOM * limit / max(prompt, limit)), LEAST)
    return structs.replace(job, text=job.text[-keep:])


def cut(messages: Sequence[Message], prompt: int, limit: int) -> tuple[Message, ...] | None:
    """The longest texts without their middle; a system message's only where those of the others are not enough."""
    total = sum(map(size, messages))
    excess = total - int(total * ROOM * limit / max(prompt, limit))
    lengths = {i: len(one.content) for i, one in enumerate(messages)}
    said = {i: length for i, length in lengths.items() if messages[i].role != "system"}
    chosen = said if _level(said.values(), excess) >= LEAST else lengths
    level = max(_level(chosen.values(), excess), LEAST)
    if all(length <= level for length in chosen.values()):
        return None
    return tuple(
        structs.replace(one, content=_without_middle(one.content, level)) if i in chosen and lengths[i] > level else one
        for i, one in enumerate(messages)
    )


def _level(lengths: Collection[int], excess: int) -> int:
    """Cut to it, the lengths lose `excess` together; 0 = they have not so much."""
    together = -excess
    for count, (length, following) in enumerate(pairwise([*sorted(lengths, reverse=True), 0]), 1):
        together += length
        if together >= following * count:
            return together // count
    return 0


def _without_middle(text: str, length: int) -> str:
    tail = (length - len(MARK) + 1) // 2
    return text[: length - len(MARK) - tail] + MARK + text[-tail:]
