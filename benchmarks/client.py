"""A client that asks for a stream and notes when each piece came. The same code for every server."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from benchmarks.servers import Server

REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=600)


@dataclass
class Answer:
    begin: float
    text: str = ""
    pieces: list[float] = field(default_factory=list)  # monotonic seconds
    usage: dict[str, Any] = field(default_factory=dict)

    @property
    def first(self) -> float:
        """Seconds to the first token."""
        return self.pieces[0] - self.begin

    @property
    def gaps(self) -> list[float]:
        return [b - a for a, b in zip(self.pieces, self.pieces[1:], strict=False)]

    @property
    def tokens(self) -> int:
        return int(self.usage["completion_tokens"])


async def ask(session: aiohttp.ClientSession, server: Server, messages: list[dict[str, str]], tokens: int) -> Answer:
    """Greedy, exactly `tokens` tokens (the end token is ignored)."""
    body = {
        "model": server.model,
        "messages": messages,
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    answer = Answer(time.monotonic())
    async with session.post(f"{server.url}/v1/chat/completions", json=body) as response:
        if response.status != 200:
            raise RuntimeError(f"{server.name}: {response.status} {await response.text()}")
        async for line in response.content:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            now, chunk = time.monotonic(), json.loads(line[6:])
            if "error" in chunk:
                raise RuntimeError(f"{server.name}: {chunk['error']}")
            answer.usage = chunk.get("usage") or answer.usage
            for choice in chunk["choices"]:
                if text := choice["delta"].get("content"):
                    answer.text += text
                    answer.pieces.append(now)
    return answer


async def together(server: Server, prompts: list[list[dict[str, str]]], tokens: int) -> list[Answer]:
    """All prompts at the same moment."""
    async with aiohttp.ClientSession(timeout=REQUEST_TIMEOUT, connector=aiohttp.TCPConnector(limit=0)) as session:
        return await asyncio.gather(*(ask(session, server, prompt, tokens) for prompt in prompts))
