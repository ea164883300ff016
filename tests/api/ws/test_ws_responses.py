"""Responses over a WebSocket: the events of the streamed Responses API, and what stops them."""

from __future__ import annotations

from fakes.served import Served
from fakes.sockets import connect, text_of


async def test_a_response_is_told_in_the_events_of_the_streamed_api(served: Served) -> None:
    async with connect(served.client, served.url) as socket:
        events = await socket.respond(store=False)
    assert [one["sequence_number"] for one in events] == list(range(len(events)))
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] == "response.completed"
    assert text_of(events) == "Hello, world"
