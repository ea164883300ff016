"""What a conversation is given of the memories before it is answered, and what its last message orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mongarsd.ground.job import Message
from mongarsd.memory.recall import prompt
from mongarsd.memory.recall.carried import Entry, Placed, places
from mongarsd.memory.recall.commands import Command, command
from mongarsd.memory.recall.recall import Recall
from mongarsd.memory.recall.types import MAX_TEXT, Hit, Memory

#: What all turns of a conversation may add together, in units of what one may.
TURNS = 4


class Wishes(NamedTuple):
    recall: bool
    remember: bool  # obey "Remember that …" and "forget …"
    k: int = 5
    tokens: int = 256  # new ones of one turn together, about


class Given(NamedTuple):
    """`hit` is None for what an earlier turn was given, which stands there still."""

    memory: Memory
    hit: Hit | None


class Prepared(NamedTuple):
    messages: tuple[Message, ...]
    given: tuple[Given, ...] = ()
    remembered: tuple[Memory, ...] = ()
    forgotten: tuple[Memory, ...] = ()


async def prepare(recall: Recall, account: str, messages: Sequence[Message], wishes: Wishes) -> Prepared:
    """Each block stands before the user's words it was made for, in this turn and in all later ones: so the stable part
    of the prompt stays as it is, and comes from the prefix cache. Raises StorageUnavailable, Busy."""
    here = list(places(account, messages))
    asked = here.pop() if messages[-1].role == "user" else None
    entries = {index: entry for index, place in here if (entry := recall.carried.get(place))}
    known = await recall.some(account, [one.id for entry in entries.values() for one in entry.placed])
    remembered: tuple[Memory, ...] = ()
    forgotten: tuple[Memory, ...] = ()
    hits: dict[str, Hit] = {}
    if asked:
        index, place = asked
        order = command(messages[index].content) if wishes.remember else None
        if order:
            remembered, forgotten = await _obey(recall, account, order)
            known = {name: memory for name, memory in known.items() if memory not in forgotten}
            entries[index] = Entry((), _note(remembered, forgotten))
        elif wishes.recall:
            chosen = await _choose(recall, account, messages, wishes, known, entries)
            hits = {hit.memory.id: hit for hit, _ in chosen}
            known |= {name: hit.memory for name, hit in hits.items()}
            entries[index] = Entry(tuple(one for _, one in chosen))
        recall.carried.put(place, entries.get(index, Entry(())))
    blocks = {
        index: prompt.block(
            [prompt.line(known[one.id], one.length) for one in entry.placed if one.id in known], entry.note
        )
        for index, entry in entries.items()
    }
    given = tuple(
        Given(known[one.id], hits.get(one.id)) for entry in entries.values() for one in entry.placed if one.id in known
    )
    return Prepared(prompt.placed(messages, blocks), given, remembered, forgotten)


async def _choose(
    recall: Recall,
    account: str,
    messages: Sequence[Message],
    wishes: Wishes,
    known: dict[str, Memory],
    entries: dict[int, Entry],
) -> list[tuple[Hit, Placed]]:
    standing = sum(one.length for entry in entries.values() for one in entry.placed) // prompt.BYTES
    tokens = min(wishes.tokens, TURNS * wishes.tokens - standing)
    found = await recall.search(account, messages[-1].content[:MAX_TEXT], k=wishes.k + len(known))
    return prompt.choose(found.hits, messages, known, tokens)[: wishes.k]


async def _obey(recall: Recall, account: str, order: Command) -> tuple[tuple[Memory, ...], tuple[Memory, ...]]:
    """(remembered, forgotten). What is known word for word is not stored twice: clients send a request again."""
    if order.verb == "forget":
        return (), tuple(await recall.forget(account, order.text))
    found = await recall.search(account, order.text, k=5)
    same = (hit.memory for hit in found.hits if hit.memory.text == order.text and hit.memory.source == "fact")
    return (next(same, None) or await recall.add(account, order.text),), ()


def _note(remembered: Sequence[Memory], forgotten: Sequence[Memory]) -> str:
    """For the model, so that it does not deny what was done. Without the text: it may be forgotten later."""
    if remembered:
        return "The following was stored in your memory. Say so."
    return f"{len(forgotten)} matching entries were deleted from your memory. Say so."
