"""A client of /v1/ws that checks the envelope of everything it is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

LIMIT = 30.0  # seconds any single wait may take
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
LAST = ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "error")


class Socket:
    """`session` and `resumed` are what it was told first; `seq` is the last number it saw."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, after: int) -> None:
        self.ws, self.seq = ws, after
        self.session, self.resumed = "", False
        self.opened: dict[str, Any] = {}

    async def next(self) -> dict[str, Any]:
        """The next message, whole. Numbers must have no holes but those that a gap names."""
        message = await self.ws.receive(LIMIT)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        told: dict[str, Any] = json.loads(message.data)
        event = told["event"]
        if event["type"] == "session.opened":
            self.opened, self.session, self.resumed = event, event["session"], event["resumed"]
            self.seq = event["after"]
        elif event["type"] == "session.gap" and event["next"]:
            assert event["after"] == self.seq
            self.seq = event["next"] - 1
        if "seq" in told:
            assert told["seq"] == self.seq + 1, told
            self.seq += 1
        return told

    async def event(self) -> dict[str, Any]:
        event: dict[str, Any] = (await self.next())["event"]
        return event

    async def send(self, kind: str, name: str | None = None, **fields: Any) -> None:
        await self.ws.send_json({"type": kind, **({"id": name} if name else {}), **fields})

    async def respond(self, name: str = "c1", **response: Any) -> list[dict[str, Any]]:
        """All events of a response."""
        await self.send("response.create", name, response={"model": "tiny", "input": "Hi", **response})
        return await self.rest(name)

    async def rest(self, name: str) -> list[dict[str, Any]]:
        """The events of the command up to its last; those of others are dropped."""
        events: list[dict[str, Any]] = []
        while not events or events[-1]["type"] not in LAST:
            told = await self.next()
            if told.get("id") == name:
                events.append(told["event"])
        return events

    async def closed(self) -> int | None:
        """The code, after everything that came before."""
        async with asyncio.timeout(LIMIT):
            while (await self.ws.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        return self.ws.close_code


async def ticket(client: aiohttp.ClientSession, url: str, headers: Mapping[str, str] | None = None) -> str:
    async with client.post(url + "/v1/ws/ticket", json={}, headers=headers) as response:
        assert response.status == 200, await response.text()
        text: str = (await response.json())["ticket"]
        return text


async def refusal(
    client: aiohttp.ClientSession, url: str, headers: Mapping[str, str] = UPGRADE, **query: str
) -> tuple[int, Any]:
    """Status and body of a handshake that fails."""
    async with client.get(url + "/v1/ws", params=query, headers=headers) as answer:
        return answer.status, await answer.json()


@asynccontextmanager
async def connect(
    client: aiohttp.ClientSession,
    url: str,
    session: str = "",
    after: int = 0,
    headers: Mapping[str, str] | None = None,
    handshake: Mapping[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[Socket]:
    """Has read session.opened. `headers`: of the request for a ticket."""
    query = {"ticket": await ticket(client, url, headers), **({"session": session, "after": after} if session else {})}
    async with client.ws_connect(url + "/v1/ws", params=query, headers=handshake, **options) as ws:
        socket = Socket(ws, after)
        opened = await socket.next()
        assert opened["event"]["type"] == "session.opened"
        assert "seq" not in opened
        yield socket


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(one["delta"] for one in events if one["type"] == "response.output_text.delta")
