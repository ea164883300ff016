"""conversation.replay: what was said, item by item, no faster than the client reads."""

from __future__ import annotations

import asyncio

from mongarsd.api.openai.responses.conversation_items import items_after
from mongarsd.api.parts import Parts
from mongarsd.api.ws.commands import ReplayConversation
from mongarsd.api.ws.envelope import event
from mongarsd.api.ws.session import Session
from mongarsd.memory.accounts import account_id

PAGE = 50  # items that are read at once


class Replay:
    def __init__(self, parts: Parts, session: Session, wanted: ReplayConversation) -> None:
        self._store = parts.memory.conversations
        self._session, self._wanted = session, wanted
        self._account = account_id(session.who.account)
        self._task: asyncio.Task[object] | None = None

    async def run(self) -> None:
        """Raises NotFound, StorageUnavailable."""
        self._task = asyncio.current_task()
        wanted, left = self._wanted, self._wanted.limit
        last, more = wanted.after or "", True
        while left and more:
            items, more = await items_after(
                self._store, self._account, wanted.conversation, after=last, limit=min(left, PAGE)
            )
            for item in items:
                await self._session.flow()
                await self._session.send([event("conversation.item", item=item)], wanted.id)
                last = item.id
            left -= len(items)
        end = event("conversation.replayed", conversation=wanted.conversation, last_id=last or None, has_more=more)
        await self._session.send([end], wanted.id)

    def stop(self) -> None:
        """Nobody waits for the rest."""
        if self._task:
            self._task.cancel()
