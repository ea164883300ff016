"""conversation.replay: what was said, item by item, no faster than the client reads."""

from __future__ import annotations

from mongarsd.api.openai.responses.conversation_items import items_after
from mongarsd.api.parts import Parts
from mongarsd.api.ws.commands import ReplayConversation
from mongarsd.api.ws.envelope import event
from mongarsd.api.ws.session import Session
from mongarsd.api.ws.stopping import Stop
from mongarsd.memory.accounts import account_id

PAGE = 50  # items that are read at once


class Replay:
    """One that is stopped ends with where it stopped."""

    lasting = False

    def __init__(self, parts: Parts, session: Session, wanted: ReplayConversation) -> None:
        self._store = parts.memory.conversations
        self._session, self._wanted = session, wanted
        self._account = account_id(session.who.account)
        self._last = wanted.after or ""
        self._more = True
        self._stop = Stop()

    async def run(self) -> None:
        """Raises NotFound, StorageUnavailable."""
        await self._stop.unless(self._items())
        last, name = self._last or None, self._wanted.conversation
        end = event("conversation.replayed", conversation=name, last_id=last, has_more=self._more)
        await self._session.send([end], self._wanted.id)

    def stop(self) -> None:
        self._stop.ask()

    @property
    def stopped(self) -> bool:
        return self._stop.asked

    async def _items(self) -> None:
        left, name = self._wanted.limit, self._wanted.conversation
        while left and self._more:
            items, more = await items_after(self._store, self._account, name, after=self._last, limit=min(left, PAGE))
            for item in items:
                said = event("conversation.item", item=item)
                await self._session.flow(len(said))
                await self._session.send([said], self._wanted.id)
                self._last = item.id
            left -= len(items)
            self._more = more
