"""The daemon's side of a WebSocket session, without sockets: tell it what the network does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mongarsd.client.session.state import SessionState, Ticket

ITEMS = [{"type": "message", "id": f"msg_{n}", "content": []} for n in range(25)]


class Server:
    """One session at a time, as docs/api.md has it: numbered events, a log of the last of them, at most one answer for
    each id at a time. `ran`: how often an answer was computed."""

    def __init__(self, state: SessionState) -> None:
        self.state = state
        self.ran: dict[str, int] = {}
        self.name, self.made = "", 0
        self.down: list[str] = []  # frames on their way to the client
        self.up: list[str] = []
        self.sent = 0  # the last number that this connection was sent
        self._fresh()

    def _fresh(self) -> None:
        self.made += 1
        self.name, self.log, self.first = f"ws_{self.made}", [], 1
        self.running: dict[str, Iterator[dict[str, Any]]] = {}

    def event(self, name: str, event: dict[str, Any]) -> None:
        self.log.append(json.dumps({"seq": self.first + len(self.log), "id": name, "event": event}))

    def connect(self) -> None:
        asked = self.state.address(Ticket("t"))
        resumed = f"session={self.name}" in asked
        after = int(asked.rpartition("after=")[2]) if "after=" in asked else 0
        if not resumed:
            self._fresh()
        opened = {
            "type": "session.opened", "session": self.name, "resumed": resumed, "keep": 60, "after": after,
            "last": self.first + len(self.log) - 1, "running": list(self.running),
        }  # fmt: skip
        self.down, self.up = [json.dumps({"event": opened})], []
        if not resumed and "session=" in asked:
            self.down.append(json.dumps({"event": {"type": "session.gap", "after": after, "next": None}}))
        elif resumed and after + 1 < self.first:
            self.down.append(json.dumps({"event": {"type": "session.gap", "after": after, "next": self.first}}))
        self.sent = max(after, self.first - 1) if resumed else 0

    def disconnect(self, arrived: int) -> None:
        """So many frames of the client's arrive yet."""
        self.take(arrived)
        self.down, self.up = [], []
        self.state.lost("test")

    def restart(self) -> None:
        self._fresh()

    def forget(self, count: int) -> None:
        """The oldest events. A connection that was not sent one of them was too slow."""
        count = min(count, len(self.log))
        self.log, self.first = self.log[count:], self.first + count
        if self.sent + 1 < self.first:
            self.disconnect(0)

    def step(self, name: str) -> None:
        """Something that runs says something."""
        if name in self.running:
            event = next(self.running[name], None)
            if event is None:
                del self.running[name]
            else:
                self.event(name, event)

    def take(self, count: int) -> None:
        for frame in self.up[:count]:
            self._command(json.loads(frame))
        self.up = self.up[count:]

    def deliver(self, count: int) -> None:
        new = self.log[max(0, self.sent + 1 - self.first) :]
        self.down += new
        self.sent = max(self.sent, self.first + len(self.log) - 1)
        for frame in self.down[:count]:
            self.state.feed(frame)
        self.down = self.down[count:]
        self.up += frames(self.state)

    def _command(self, command: dict[str, Any]) -> None:
        name, kind = command["id"], command["type"]
        if kind == "response.cancel":
            if not self.running.pop(name, None):
                self._refuse(name, "not_found", f"id: no command {name} is running")
        elif name in self.running:
            self._refuse(name, "invalid_request", f"id: {name} is the id of a command that still runs", "id")
        elif kind == "conversation.replay":
            self.running[name] = self._replay(command.get("after"))
        else:
            said = command["response"]["input"]
            self.ran[said] = self.ran.get(said, 0) + 1
            self.running[name] = self._answer(said)

    def _refuse(self, name: str, code: str, message: str, param: str | None = None) -> None:
        self.event(name, {"type": "error", "error": {"message": message, "code": code, "param": param}})

    def _answer(self, said: str) -> Iterator[dict[str, Any]]:
        yield {"type": "response.created"}
        for n in range(5):
            yield {"type": "response.output_text.delta", "delta": f"{said}{n}", "sequence_number": n}
        yield {"type": "response.completed"}

    def _replay(self, after: str | None) -> Iterator[dict[str, Any]]:
        begin = next((n + 1 for n, item in enumerate(ITEMS) if item["id"] == after), 0)
        for item in ITEMS[begin : begin + 10]:
            yield {"type": "conversation.item", "item": item}
        yield {"type": "conversation.replayed", "has_more": begin + 10 < len(ITEMS), "last_id": None}


def frames(state: SessionState) -> list[str]:
    """All that is to be sent now."""
    return list(iter(state.due, None))
