"""`truncation: "auto"`: what a context cannot hold is dropped from the beginning of the conversation. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mongarsd.ground.job import Message

#: Of the context, for the prompt; the rest is for the answer.
ROOM = 0.75
#: Questions are dropped in steps of so many, so that the next few prompts begin alike and come from the cache.
STEP = 4


def shortened(messages: Sequence[Message], prompt: int, limit: int) -> tuple[Message, ...] | None:
    """Fewer messages, for a prompt of `prompt` tokens that should have had `limit`: without the oldest questions and
    what followed them. System messages at the beginning and the last question stay. None = nothing more can go."""
    lead = next((i for i, one in enumerate(messages) if one.role != "system"), len(messages))
    questions = [i for i in range(lead, len(messages)) if messages[i].role == "user"][1:]
    if not questions:
        return None
    wanted = _size(messages) * ROOM * limit / max(prompt, 1)
    places = [*questions[STEP - 1 :: STEP], questions[-1]]
    head = messages[:lead]
    start = next((i for i in places if _size((*head, *messages[i:])) <= wanted), questions[-1])
    return (*head, *messages[start:])


def _size(messages: Sequence[Message]) -> int:
    """Characters, about; a message's frame counts too."""
    return sum(len(one.content) + len(one.reasoning or "") + len(str(one.tool_calls)) + 8 for one in messages)
