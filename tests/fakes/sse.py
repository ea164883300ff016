"""A server-sent-events reader, as small as the format."""

from __future__ import annotations

import json
from typing import Any


def events(body: bytes) -> list[Any]:
    """The data of each event: decoded JSON, or "[DONE]". Comments are skipped; anything else fails."""
    found: list[Any] = []
    assert body.endswith(b"\n\n")
    for block in body[:-2].split(b"\n\n"):
        if block.startswith(b":"):
            continue
        assert block.startswith(b"data: ")
        assert b"\n" not in block
        data = block.removeprefix(b"data: ").decode()
        found.append(data if data == "[DONE]" else json.loads(data))
    return found


def text(events: list[Any], index: int = 0) -> str:
    """What choice `index` of a chat said."""
    return "".join(
        choice["delta"].get("content", "")
        for event in events
        if event != "[DONE]"
        for choice in event["choices"]
        if choice["index"] == index
    )
