"""The summary of a stored conversation, in the place of turns that a context cannot hold. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from mongarsd.api.openai.truncation import ROOM, shortened, size
from mongarsd.ground.job import Message
from mongarsd.memory.summaries.types import Carried

HEAD = "Summary of the conversation so far:"


class Shortening:
    """Shortens the messages of one job. `turns`: how many stored ones the summary stands for, once it is told."""

    def __init__(self, carried: Carried | None, told: int) -> None:
        """`told`: how many messages follow those that `carried` stands for."""
        self._carried, self._told = carried, told
        self.turns = 0

    def __call__(self, messages: Sequence[Message], prompt: int, limit: int) -> tuple[Message, ...] | None:
        """As `shortened`, which goes on where a summary is not enough, or there is none."""
        if self._carried and not self.turns:
            shorter = summarised(messages, self._carried.summary, len(messages) - self._told)
            before = sum(map(size, messages))
            if prompt * sum(map(size, shorter)) <= ROOM * limit * before:
                self.turns = self._carried.turns
                return shorter
        return shortened(messages, prompt, limit)


def summarised(messages: Sequence[Message], summary: str, end: int) -> tuple[Message, ...]:
    """`summary` for the first `end` messages. It follows the instructions in their own message: templates know no
    second one at the beginning, and what is stable comes first for the prefix cache. System messages stay."""
    told = f"{HEAD} {summary}"
    systems = [one for one in messages[:end] if one.role == "system"]
    if systems and messages[0].role == "system":
        systems[0] = structs.replace(systems[0], content=f"{systems[0].content}\n\n{told}")
    else:
        systems.insert(0, Message(role="system", content=told))
    return (*systems, *messages[end:])
