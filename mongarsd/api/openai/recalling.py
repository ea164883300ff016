"""Memories for a chat: what its messages are given before they become a prompt, and what the answer says of it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, UnsetType, structs

from mongarsd.api.openai.answers import MemoryReport, Recalled, Told
from mongarsd.api.openai.requests import MemoryOptions
from mongarsd.ground.errors import Busy, StorageUnavailable
from mongarsd.ground.job import Job
from mongarsd.memory.accounts import account_id
from mongarsd.memory.recall.inserting import Given, Prepared, Wishes, prepare
from mongarsd.memory.recall.types import Memory
from mongarsd.memory.room import Memory as Room


async def with_memories(
    memory: Room, options: MemoryOptions | None, jobs: Sequence[Job]
) -> tuple[list[Job], MemoryReport | UnsetType]:
    """`jobs` have the same messages. A database in trouble costs the memories, not the answer."""
    account = account_id(jobs[0].account)
    options = options or MemoryOptions()
    asked = bool(options.recall or options.remember)
    try:
        settings = (await memory.accounts.get(account)).settings
        wishes = Wishes(
            recall=settings.recall if options.recall is None else options.recall,
            remember=settings.remember if options.remember is None else options.remember,
            k=options.k,
            tokens=options.max_tokens,
        )
        if not (wishes.recall or wishes.remember):
            return list(jobs), UNSET
        prepared = await prepare(memory.recall, account, jobs[0].messages or (), wishes)
    except (StorageUnavailable, Busy) as error:
        return list(jobs), MemoryReport(trouble=error.message) if asked else UNSET
    return [structs.replace(job, messages=prepared.messages) for job in jobs], _report(prepared)


def _report(prepared: Prepared) -> MemoryReport:
    return MemoryReport(
        recalled=[_recalled(given) for given in prepared.given],
        remembered=[_told(memory) for memory in prepared.remembered],
        forgotten=[_told(memory) for memory in prepared.forgotten],
    )


def _recalled(given: Given) -> Recalled:
    memory, hit = given
    if hit is None:
        return Recalled(id=memory.id, text=memory.text, earlier=True)
    return Recalled(id=memory.id, text=memory.text, score=hit.score, similarity=hit.similarity, words=hit.words)


def _told(memory: Memory) -> Told:
    return Told(id=memory.id, text=memory.text)
