"""Which of the memories found go into a prompt, and in what words. Pure."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence

from msgspec import structs

from mongarsd.ground.job import Message
from mongarsd.memory.recall.carried import Placed
from mongarsd.memory.recall.types import Hit, Memory

#: Bytes of UTF-8 a token holds at least, about: the tokenizer is in another process, and this bounds, not measures.
BYTES = 3
#: Cosine from which a memory has to do with the question: of unrelated sentences all-MiniLM-L6-v2 gives 0.1 ± 0.1.
SIMILAR = 0.3
#: Share of the question's words from which it has, whatever the cosine.
WORDS = 0.5
#: Of the best one's relevance, how much another must have: a small model is led astray by what only touches the matter.
BESIDE = 0.6
#: Characters that are worth a line of their own.
LEAST = 40

HEAD = "Known from before:"


def choose(
    hits: Iterable[Hit], messages: Sequence[Message], skip: Collection[str], tokens: int
) -> list[tuple[Hit, Placed]]:
    """Those that have to do with the question, are new to the conversation and fit into `tokens`; best first."""
    left = tokens * BYTES - len(HEAD)
    said = [message.content for message in messages]
    chosen: list[tuple[Hit, Placed]] = []
    relevant = [hit for hit in hits if (hit.similarity or 0.0) >= SIMILAR or hit.words >= WORDS]
    least = BESIDE * max((hit.relevance for hit in relevant), default=0.0)
    for hit in relevant:
        memory = hit.memory
        if hit.relevance < least or memory.id in skip or any(memory.text in text for text in said):
            continue
        length = _fitting(memory, left)
        if length:
            left -= len(line(memory, length).encode())
            chosen.append((hit, Placed(memory.id, length)))
    return chosen


def line(memory: Memory, length: int) -> str:
    """One memory as one line, `length` characters of its text."""
    day = time.strftime("%Y-%m-%d", time.gmtime(min(max(memory.updated, 0.0), 253_402_300_799.0)))
    text = " ".join(memory.text[:length].split())
    return f"- {day}: {text}{'…' if length < len(memory.text) else ''}\n"


def block(lines: Sequence[str], note: str) -> str:
    """What goes before the user's own words; "" = nothing."""
    parts = ([f"{HEAD}\n{''.join(lines)}"] if lines else []) + ([f"({note})\n"] if note else [])
    return "".join(parts) + "\n" if parts else ""


def placed(messages: Sequence[Message], blocks: dict[int, str]) -> tuple[Message, ...]:
    """The conversation with each block in front of the message of that index."""
    return tuple(
        structs.replace(message, content=blocks[index] + message.content) if blocks.get(index) else message
        for index, message in enumerate(messages)
    )


def _fitting(memory: Memory, room: int) -> int:
    """Characters that fit into `room` bytes; 0 = too few to be worth it."""
    length = len(memory.text)
    while length and len(line(memory, length).encode()) > room:
        length = length * 3 // 4 if length > LEAST else 0
    return length
