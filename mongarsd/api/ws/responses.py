"""response.create: the same work as POST /v1/responses, told as events of a session."""

from __future__ import annotations

from collections.abc import Sequence

from mongarsd.api import errors
from mongarsd.api.openai.responses.events import Said
from mongarsd.api.openai.responses.requests import ResponseRequest
from mongarsd.api.openai.responses.work import prepare
from mongarsd.api.parts import Parts
from mongarsd.api.ws.session import Session
from mongarsd.api.ws.stopping import Stop
from mongarsd.ground.job import Delta


class Respond:
    """A response goes on whether or not somebody reads it. `stop` frees its slot at once."""

    lasting = True

    def __init__(self, parts: Parts, session: Session, name: str, body: ResponseRequest) -> None:
        self._parts, self._session, self._name, self._body = parts, session, name, body
        self._account = session.who.account
        self._stop = Stop()
        self._said = False

    async def run(self) -> None:
        """Raises MongarsError before the first event."""
        work = await prepare(self._parts, self._account, self._body)
        events = work.events()

        async def deliver(delta: Delta) -> None:
            if said := events.delta(delta):
                await self._send(said)

        try:
            last = events.end(await work.finish(await self._stop.unless(work.follow(deliver))))
        except Exception as error:
            if not self._said:
                raise
            told = errors.answer(error).error
            last = events.failed(told["code"], told["message"], told["param"])
        await self._send(last)

    def stop(self) -> None:
        self._stop.ask()

    @property
    def stopped(self) -> bool:
        return self._stop.asked

    async def _send(self, events: Sequence[Said]) -> None:
        self._said = True
        await self._session.send([one.data for one in events], self._name)
